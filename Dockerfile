# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
# The libraries first: this layer is made anew only when the lock file changes.
COPY requirements.lock ./
RUN python -m venv /opt/tracker && /opt/tracker/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY tracker ./tracker
RUN /opt/tracker/bin/pip install --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin tracker \
    && install -d -o tracker -g tracker -m 0700 /data
COPY --from=build /opt/tracker /opt/tracker
ENV PATH=/opt/tracker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TRACKER_DATABASE__URL=sqlite:////data/tracker.db \
    TRACKER_SERVER__HOST=0.0.0.0
# tracker.toml is read from here, beside the database.
WORKDIR /data
VOLUME /data
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('TRACKER_SERVER__PORT', '8000') + '/healthz', timeout=2)"]
ENTRYPOINT ["tracker"]
CMD ["serve"]
