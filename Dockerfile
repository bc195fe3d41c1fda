# Two stages, so that the image holds no development dependency. It runs as an ordinary user and writes only to /data.
FROM node:26-bookworm-slim AS dependencies
WORKDIR /chancery
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:26-bookworm-slim
ENV NODE_ENV=production CHANCERY_DATA=/data CHANCERY_LISTEN=0.0.0.0:8420 CHANCERY_TLS=self
# For the command line within the container: docker compose exec chancery chancery auth whoami
ENV CHANCERY_URL=https://localhost:8420 CHANCERY_CA_FILE=/data/tls-root.pem
WORKDIR /chancery
COPY --from=dependencies /chancery/node_modules node_modules
COPY package.json ./
COPY bin bin
COPY src src
COPY engines engines
RUN mkdir /data && chown node:node /data && ln -s /chancery/bin/chancery /usr/local/bin/chancery
USER node
VOLUME /data
EXPOSE 8420
HEALTHCHECK --interval=10s --timeout=3s CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED='0'; fetch('https://127.0.0.1:8420/readyz').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-warning=ExperimentalWarning", "src/main.ts"]
