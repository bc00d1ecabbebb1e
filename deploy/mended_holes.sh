# Names the packages of this Debian whose holes Debian has mended since they were installed, and fails if there are any.
# Holes that nobody has mended yet are left out: nobody could act on them. Run inside the image:
#   docker run --rm --user root parley bash -c "$(cat deploy/mended_holes.sh)"
set -euo pipefail

# Without the last option a list that cannot be had is a warning, and nothing would be found in it.
apt-get update -qq -o APT::Update::Error-Mode=any
planned=$(apt-get --simulate dist-upgrade)
if ! grep -q '^[0-9]* upgraded, ' <<< "$planned"; then
    echo "apt-get has not said what it would do:" >&2
    echo "$planned" >&2
    exit 2
fi
if grep '^Inst .*Debian-Security' <<< "$planned"; then
    echo "Build the image anew." >&2
    exit 1
fi
