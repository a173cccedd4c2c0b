# docker build -t brownout .
# docker run -e UPSTREAM=http://payments:9000 -p 8080:8080 -v ./rules:/etc/brownout/rules brownout

FROM rust:1-slim-bookworm AS build
# zlib-ng, under pingora-core, is built by cmake.
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin brownout \
    && strip target/release/brownout \
    && mkdir -p /empty

# glibc, certificates and no shell; the user is nobody in particular.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/brownout /usr/local/bin/brownout
# Where the off latch is kept: the one place that is written to.
COPY --from=build --chown=65532:65532 /empty /var/lib/brownout
COPY config/container.toml /etc/brownout/brownout.toml
USER 65532:65532
# The proxy, and the exporter with /healthz and /readyz.
EXPOSE 8080 7471
ENTRYPOINT ["/usr/local/bin/brownout"]
CMD ["serve", "-c", "/etc/brownout/brownout.toml"]
