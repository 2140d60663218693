# The server in a small image. State lies in /data; settings come from the environment.
ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-trixie AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin greenroom && strip target/release/greenroom

FROM debian:trixie-slim
# The Docker command line alone: the engine is one that DOCKER_HOST or a mounted socket reaches.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates docker-buildx docker-cli \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /data greenroom
COPY --from=build /src/target/release/greenroom /usr/local/bin/greenroom
USER greenroom
WORKDIR /data
VOLUME /data
ENV GREENROOM_LISTEN=0.0.0.0:3000
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["greenroom"]
CMD ["serve"]
