"""Scripts: what Redis does in one step for `models.live.chat_cache`.

An entry is ``<generation>:<value>``; one of another generation is as none (`models.live.circuit`). Who is about to
read PostgreSQL for an entry that is missing first takes a *lease* on it; each change of the matter takes leases away.
So what was read before a change cannot be stored after it, and of many who miss one entry only one stores it.

Source: Rajesh Nishtala and others, "Scaling Memcache at Facebook" (2013), leases.
"""

from __future__ import annotations

LEASE_SECONDS = 10
"""Longer than a request may take to read what it stores."""
LEASED = ":lease"
"""Behind the name of an entry."""

# KEYS: the generation, leases. ARGV: token, a new generation in case there is none, its seconds.
# Answers the generation and which of the leases are had.
LEASE = f"""
    local generation = redis.call('GET', KEYS[1])
    if not generation then
        generation = ARGV[2]
        redis.call('SET', KEYS[1], generation, 'EX', ARGV[3])
    end
    local had = {{}}
    for place = 2, #KEYS do
        had[place - 1] = redis.call('SET', KEYS[place], ARGV[1], 'NX', 'EX', {LEASE_SECONDS}) and 1 or 0
    end
    return {{generation, had}}
"""

# KEYS: the generation, and for each entry its name and its lease. ARGV: token, generation, seconds, values.
FILL = """
    if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
    for place = 1, (#KEYS - 1) / 2 do
        local entry, lease = KEYS[2 * place], KEYS[2 * place + 1]
        if redis.call('GET', lease) == ARGV[1] then
            redis.call('DEL', lease)
            redis.call('SET', entry, ARGV[2] .. ':' .. ARGV[3 + place], 'EX', ARGV[3])
        end
    end
"""

# A count of unread messages is `<count>:<seq of the newest counted>`: a message is counted once, and in order.
_COUNT_ONE = """
    local function count_one(generation, entry, lease, seq)
        redis.call('DEL', lease)
        local kept = redis.call('GET', entry)
        if not kept then return end
        local made_in, count, newest = string.match(kept, '^(.-):(%d+):(%d+)$')
        if made_in ~= generation or tonumber(newest) < seq - 1 then
            redis.call('DEL', entry)
        elseif tonumber(newest) == seq - 1 then
            redis.call('SET', entry, string.format('%s:%d:%d', generation, count + 1, seq), 'KEEPTTL')
        end
    end
"""
_READ_ONE = """
    local function read_one(generation, entry, lease, seq)
        redis.call('DEL', lease)
        local kept = redis.call('GET', entry)
        if not kept then return end
        local made_in, count, newest = string.match(kept, '^(.-):(%d+):(%d+)$')
        if made_in == generation and tonumber(newest) <= seq then
            redis.call('SET', entry, string.format('%s:0:%d', made_in, seq), 'KEEPTTL')
        else
            redis.call('DEL', entry)
        end
    end
"""

# KEYS: the generation, and for each reader the entry and its lease. ARGV: seq of a new message.
COUNT = f"""
    {_COUNT_ONE}
    local generation, seq = redis.call('GET', KEYS[1]), tonumber(ARGV[1])
    for place = 2, #KEYS, 2 do count_one(generation, KEYS[place], KEYS[place + 1], seq) end
"""

# KEYS: the generation, the entry, its lease. ARGV: up to which message its reader has read.
READ_UP_TO = f"""
    {_READ_ONE}
    read_one(redis.call('GET', KEYS[1]), KEYS[2], KEYS[3], tonumber(ARGV[1]))
"""

# All that a new message changes, in one question, should it be known who is in the chat.
# KEYS: the generation, the members, the hash of messages, its lease. ARGV: seq, its sender, names of an entry of unread
# messages up to the reader and behind it. Answers whether all were counted, and the version of the hash.
POSTED = f"""
    {_COUNT_ONE} {_READ_ONE}
    local generation, seq = redis.call('GET', KEYS[1]), tonumber(ARGV[1])
    redis.call('DEL', KEYS[4])
    local version = redis.call('HGET', KEYS[3], 'version')
    local kept = redis.call('GET', KEYS[2])
    if not generation or not kept or string.sub(kept, 1, #generation + 1) ~= generation .. ':' then
        return {{0, version}}
    end
    for reader in string.gmatch(string.sub(kept, #generation + 2), '[^,]+') do
        local entry = ARGV[3] .. reader .. ARGV[4]
        if reader ~= ARGV[2] then count_one(generation, entry, entry .. '{LEASED}', seq) end
    end
    local own = ARGV[3] .. ARGV[2] .. ARGV[4]
    read_one(generation, own, own .. '{LEASED}', seq)
    return {{1, version}}
"""

_NOW = """
    local time = redis.call('TIME')
    local now = string.format('%.0f', time[1] * 1000000 + time[2])
"""

# A chat's newest messages are a hash: `generation`, `version`, `about`, each message under its seq, and `first`, from
# which on none is missing.
# KEYS: the generation, the hash, the order of use.
NEWEST = f"""
    {_NOW}
    local made_in = redis.call('HGET', KEYS[2], 'generation')
    if not made_in or made_in ~= redis.call('GET', KEYS[1]) then return end
    redis.call('ZADD', KEYS[3], now, KEYS[2])
    return redis.call('HGETALL', KEYS[2])
"""

# KEYS: the generation, the hash, its lease, the order of use. ARGV: token, generation, seconds, how many chats are
# kept, names and values. Beyond so many chats those go that nobody has read for longest.
KEEP = f"""
    {_NOW}
    if redis.call('GET', KEYS[1]) ~= ARGV[2] or redis.call('GET', KEYS[3]) ~= ARGV[1] then return end
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[2], 'generation', ARGV[2], unpack(ARGV, 5))
    redis.call('EXPIRE', KEYS[2], ARGV[3])
    redis.call('ZADD', KEYS[4], now, KEYS[2])
    redis.call('EXPIRE', KEYS[4], 2 * ARGV[3])
    local too_many = redis.call('ZCARD', KEYS[4]) - ARGV[4]
    if too_many > 0 then
        for place, name in ipairs(redis.call('ZPOPMIN', KEYS[4], too_many)) do
            if place % 2 == 1 then redis.call('DEL', name) end
        end
    end
"""

# KEYS: the hash. ARGV: the version it must have, the one it then has, how many messages it holds, the newest
# seq, seqs and messages. Takes away what leaves the newest.
ADVANCE = """
    if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return end
    local first = tonumber(redis.call('HGET', KEYS[1], 'first'))
    for place = 5, #ARGV, 2 do
        if tonumber(ARGV[place]) >= first then redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
    end
    local oldest = tonumber(ARGV[4]) - tonumber(ARGV[3]) + 1
    while first < oldest do
        redis.call('HDEL', KEYS[1], string.format('%d', first))
        first = first + 1
    end
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'first', string.format('%d', first))
"""
