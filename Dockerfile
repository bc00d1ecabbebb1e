# One image for every process; the command chooses (docs/how-to/deploy.md):
#   api         python -m gunicorn -c gunicorn.conf.py wsgi:app        (the default)
#   dispatcher  python -m tasks.dispatcher
#   worker      python -m celery -A tasks.celery_app worker …
#   migration   python -m alembic upgrade head

# Debian and not Alpine: the wheels of psycopg2 and gevent then are the ones that the tests run on.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.txt requirements-traces.txt ./
# --build-arg TRACES=1 adds OpenTelemetry. Where it is installed redis-py imports parts of it, wanted or not: 3 MB a process.
ARG TRACES=
# Every file is checked against its hash, and none is compiled here.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: -r requirements.txt ${TRACES:+-r requirements-traces.txt}

FROM python:3.13-slim
# What Debian has mended since the base was made; deploy/mended_holes.sh says whether anything is left.
RUN apt-get update -qq && apt-get upgrade --yes -qq && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 parley \
 && useradd --uid 10001 --gid parley --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin parley
WORKDIR /app
COPY --from=build /venv /venv
COPY LICENSE alembic.ini celeryconfig.py gunicorn.conf.py wsgi.py ./
COPY migrations migrations/
COPY models models/
COPY api api/
COPY tasks tasks/
COPY static static/
# Bytecode is made now, because the user below can write nowhere and the root may be mounted read-only.
RUN python -m compileall -q .

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    # gunicorn's heartbeat file: memory, which is there even if nothing else can be written.
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm" \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For the api; compose.yaml gives the others a check of their own. Past any proxy of the environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=2)"]
CMD ["python", "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
