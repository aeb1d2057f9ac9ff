package org.logoutrelay.keycloak.gate;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;

import org.keycloak.OAuth2Constants;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.cache.CacheRealmProvider;
import org.keycloak.protocol.oidc.OIDCConfigAttributes;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;

import jakarta.persistence.FlushModeType;

/**
 * What a client proves itself by. A node that has not heard yet that it was changed would take the old secret from its cache,
 * and what it issues then is newer than the event; so shortly after one the database is asked.
 */
public final class ClientProof {
    /** The grants by which a client gets a token of its service account: UMA's without another token takes the client's word. */
    private static final Set<String> GRANTS = Set.of(OAuth2Constants.CLIENT_CREDENTIALS, OAuth2Constants.UMA_GRANT_TYPE);
    private static final long SHORTLY_MS = 5L * 60 * 1000;
    /** Attributes of a key or a certificate have a name that begins so: {@code private_key_jwt}, federated assertions, mTLS. */
    private static final List<String> KEYS_BEGIN = List.of("jwt.credential.", "x509.");
    private static final Set<String> KEYS = Set.of(OIDCConfigAttributes.JWKS_URL, OIDCConfigAttributes.USE_JWKS_URL,
            OIDCConfigAttributes.JWKS_STRING, OIDCConfigAttributes.USE_JWKS_STRING);

    private ClientProof() {
    }

    /** Whether this attribute is one of a client's keys or says where they are. */
    public static boolean isKey(String attribute) {
        return KEYS.contains(attribute) || KEYS_BEGIN.stream().anyMatch(attribute::startsWith);
    }

    /** Whether a client is about to get a token of its service account. */
    static boolean isBrought(KeycloakSession session, UserModel user) {
        String grant = Requests.grantType(session);
        return grant != null && GRANTS.contains(grant) && user.getServiceAccountClientLink() != null;
    }

    /** @param newestMs the newest watermark of the client's service account */
    static boolean isOutOfDate(KeycloakSession session, RealmModel realm, UserModel user, long newestMs) {
        ClientModel client = session.getContext().getClient();
        if (client == null || newestMs < DbClock.now(session) - SHORTLY_MS
                || !isBrought(session, user) || isAsStored(session, client)) {
            return false;
        }
        readAnew(session, realm, client);
        return true;
    }

    /** This node has an older picture of the client in its cache. */
    public static void readAnew(KeycloakSession session, RealmModel realm, ClientModel client) {
        CacheRealmProvider cache = session.getProvider(CacheRealmProvider.class);
        if (cache != null) {
            cache.registerClientInvalidation(client.getId(), client.getClientId(), realm.getId());
        }
    }

    private static boolean isAsStored(KeycloakSession session, ClientModel client) {
        Object[] row = Jpa.em(session).createQuery("select c.secret, c.enabled, c.publicClient, c.serviceAccountsEnabled,"
                + " c.clientAuthenticatorType from ClientEntity c where c.id = :id", Object[].class).setFlushMode(FlushModeType.COMMIT)
                .setParameter("id", client.getId()).getResultStream().findFirst().orElse(null);
        if (row == null || !Objects.equals(row[0], client.getSecret()) || !row[1].equals(client.isEnabled())
                || !row[2].equals(client.isPublicClient()) || !row[3].equals(client.isServiceAccountsEnabled())
                || row[4] != null && !row[4].equals(client.getClientAuthenticatorType())) {
            return false;
        }
        Map<String, String> stored = new HashMap<>();
        Jpa.em(session).createQuery("select a.name, a.value from ClientAttributeEntity a where a.client.id = :id", Object[].class)
                .setFlushMode(FlushModeType.COMMIT).setParameter("id", client.getId()).getResultStream()
                .forEach(one -> stored.put((String) one[0], (String) one[1]));
        return Stream.concat(stored.keySet().stream(), client.getAttributes().keySet().stream())
                .filter(name -> isKey(name) || name.equals(ClientSecretConstants.CLIENT_ROTATED_SECRET))
                .allMatch(name -> Objects.equals(stored.get(name), client.getAttribute(name)));
    }
}
