package org.logoutrelay.keycloak.client;

import org.keycloak.models.ClientModel;
import org.keycloak.models.utils.SessionExpirationUtils;
import org.keycloak.protocol.oidc.OIDCConfigAttributes;

/** How long access tokens live. */
public final class AccessTokens {
    private static final int AS_LONG_AS_THE_SESSION = -1;

    private AccessTokens() {
    }

    /** Seconds that one lives which the client is given at the begin of a session; as Keycloak's {@code TokenManager} has it. */
    public static long lifespan(ClientModel client, long nowMs) {
        long session = (SessionExpirationUtils.calculateClientSessionMaxLifespanTimestamp(false, false, nowMs, nowMs, client.getRealm(),
                client) - nowMs) / 1000;
        String own = client.getAttribute(OIDCConfigAttributes.ACCESS_TOKEN_LIFESPAN);
        int lifespan = own != null && own.matches("-?\\d{1,9}") ? Integer.parseInt(own) : client.getRealm().getAccessTokenLifespan();
        return lifespan == AS_LONG_AS_THE_SESSION ? session : Math.min(lifespan, session);
    }
}
