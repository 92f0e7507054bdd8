# Stage 1 has npm and the compiler; what runs has Node and the daemon alone.
ARG NODE_IMAGE=docker.io/library/node:20-bookworm-slim
FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM ${NODE_IMAGE}
# No package manager is needed to serve.
RUN for prefix in /usr/local /usr; do \
      rm -rf $prefix/lib/node_modules $prefix/bin/npm $prefix/bin/npx $prefix/bin/corepack $prefix/bin/yarn*; \
    done; rm -rf /opt/yarn*
WORKDIR /opt/nbdloop
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist/bin dist/bin
COPY --from=build /build/dist/page dist/page
RUN ln -s /opt/nbdloop/dist/bin/nbdloopd.js /usr/local/bin/nbdloopd \
 && ln -s /opt/nbdloop/dist/bin/nbdlosetup.js /usr/local/bin/nbdlosetup \
 && ln -s /opt/nbdloop/dist/bin/nbdloop.js /usr/local/bin/nbdloop \
 && chmod +x dist/bin/nbdloopd.js dist/bin/nbdlosetup.js dist/bin/nbdloop.js \
 && mkdir -p /run/nbdloop /srv/nbdloop \
 && chown 65532:65532 /run/nbdloop /srv/nbdloop && chmod 700 /run/nbdloop
USER 65532:65532
ENV NBDLOOP_CONTROL=/run/nbdloop/control.sock
VOLUME ["/srv/nbdloop"]
EXPOSE 10809
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["nbdloop", "status"]
ENTRYPOINT ["nbdloopd", "--unix", "/run/nbdloop/nbd.sock", "--control", "/run/nbdloop/control.sock"]
