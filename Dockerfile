# One image for every service; docker-compose.yml says which one a container runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/jevons && /opt/jevons/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.13-slim
# libpq is inside psycopg's wheel; pg_dump and pg_restore for `jevons backup` come with the embedded server's wheel.
COPY --from=build /opt/jevons /opt/jevons
RUN useradd --system --create-home --home-dir /var/lib/jevons jevons
USER jevons
ENV PATH=/opt/jevons/bin:$PATH \
    JEVONS_DATA_DIR=/var/lib/jevons \
    PYTHONUNBUFFERED=1
EXPOSE 4318 4317
CMD ["python", "-m", "app.service", "api"]
