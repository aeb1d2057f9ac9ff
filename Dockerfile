# Two images: `--target keycloak` is Keycloak with the extension, `--target relay` (the default) is the relay.

FROM maven:3.9-eclipse-temurin-17 AS extension
WORKDIR /src
COPY extension-config/pom.xml .
COPY extension-config/src src
RUN mvn -q -B package -DskipTests

FROM keycloak/keycloak:26.7.3 AS keycloak
ARG KC_DB=postgres
ENV KC_DB=$KC_DB KC_HEALTH_ENABLED=true KC_METRICS_ENABLED=true
COPY --from=extension --chown=keycloak:keycloak /src/target/logout-relay-keycloak.jar /opt/keycloak/providers/
RUN /opt/keycloak/bin/kc.sh build

FROM node:26-alpine AS modules
WORKDIR /app
COPY package.json package-lock.json ./
# The image has its Node already; the one that npm brings for machines with an older one stays out.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && rm -rf node_modules/node node_modules/node-bin-*

FROM node:26-alpine AS relay
WORKDIR /app
ENV NODE_ENV=production
COPY package.json ./
COPY --from=modules /app/node_modules node_modules
COPY guard guard
COPY relay relay
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8484
HEALTHCHECK --interval=10s --timeout=3s CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8484/healthz"]
ENTRYPOINT ["node", "relay/cli.ts"]
CMD ["start", "--config", "/etc/logout-relay/relay.yaml"]
