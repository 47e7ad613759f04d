# syntax=docker/dockerfile:1

# The version of rust-toolchain.toml, which itself is left out: the image's toolchain is complete.
FROM rust:1.95.0-bookworm AS build
WORKDIR /build
COPY . .
# The caches keep compiled dependencies between builds; they are not in the image, so the binary is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin tasklane \
    && cp target/dist/tasklane /tasklane

FROM debian:bookworm-slim
# The roots of trust, for PostgreSQL and identity providers over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tasklane /usr/local/bin/tasklane
# The data folder's owner becomes that of a volume mounted there.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tasklane \
    && install -d -o tasklane -g tasklane -m 0700 /srv/tasklane/data
USER 10001:10001
WORKDIR /srv/tasklane
VOLUME /srv/tasklane/data
ENV HOST=0.0.0.0 PORT=8000 ENVIRONMENT=production
EXPOSE 8000
# The image has no HTTP client; bash can ask for a status line.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD bash -c 'exec 3<>/dev/tcp/127.0.0.1/$PORT && printf "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3 && read -r -t 2 line <&3 && [[ $line == "HTTP/1.1 200"* ]]' || exit 1
# docker stop sends SIGTERM and waits for 10 s unless --timeout says otherwise: give it more than SHUTDOWN_TIMEOUT.
ENTRYPOINT ["tasklane"]
CMD ["serve"]
