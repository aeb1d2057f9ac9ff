package org.logoutrelay.keycloak.client;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import org.jboss.logging.Logger;
import org.keycloak.crypto.CekManagementProvider;
import org.keycloak.crypto.ContentEncryptionProvider;
import org.keycloak.crypto.KeyWrapper;
import org.keycloak.jose.jwe.JWE;
import org.keycloak.jose.jwe.JWEConstants;
import org.keycloak.jose.jwe.JWEException;
import org.keycloak.jose.jwk.JWK;
import org.keycloak.keys.PublicKeyLoader;
import org.keycloak.keys.PublicKeyStorageProvider;
import org.keycloak.keys.PublicKeyStorageUtils;
import org.keycloak.keys.loader.ClientPublicKeyLoader;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.protocol.oidc.OIDCAdvancedConfigWrapper;
import org.keycloak.protocol.oidc.OIDCConfigAttributes;
import org.keycloak.protocol.oidc.utils.JWKSHttpUtils;
import org.keycloak.services.util.ResolveRelative;
import org.keycloak.urls.UrlType;
import org.keycloak.util.JWKSUtils;

/**
 * Encrypts the logout tokens of clients whose ID tokens are encrypted, with the same key and algorithms (OpenID Connect
 * Back-Channel Logout 1.0 §2.4). The key may have to be fetched from the client. That is done on threads of its own: a client
 * that hangs must not hold up the tokens of others.
 */
public final class TokenEncryption {
    private static final Logger LOG = Logger.getLogger(TokenEncryption.class);

    /** For the client's answer. One that comes later is there for the next attempt: Keycloak keeps the key. */
    private static final long WAIT_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final int THREADS = 32;

    private static final Map<String, Fetch> UNDER_WAY = new ConcurrentHashMap<>();
    private static final ThreadPoolExecutor POOL = new ThreadPoolExecutor(0, THREADS, 60, TimeUnit.SECONDS,
            new SynchronousQueue<>(), task -> {
                Thread thread = new Thread(task, "logout-relay-client-keys");
                thread.setDaemon(true);
                return thread;
            });

    private record Fetch(FutureTask<KeyWrapper> task, long untilNanos) {
    }

    private final KeycloakSession session;
    private final RealmModel realm;
    private final Map<String, Fetch> asked = new HashMap<>();

    public TokenEncryption(KeycloakSession session, RealmModel realm) {
        this.session = session;
        this.realm = realm;
    }

    public static boolean isWanted(ClientModel client) {
        return alg(client) != null;
    }

    private static String alg(ClientModel client) {
        String alg = client.getAttribute(OIDCConfigAttributes.ID_TOKEN_ENCRYPTED_RESPONSE_ALG);
        return alg == null || alg.isEmpty() ? null : alg;
    }

    /** OpenID Connect Dynamic Client Registration 1.0 §2 has the default; Keycloak heeds it for ID tokens. */
    private static String enc(ClientModel client) {
        String enc = client.getAttribute(OIDCConfigAttributes.ID_TOKEN_ENCRYPTED_RESPONSE_ENC);
        return enc == null || enc.isEmpty() ? JWEConstants.A128CBC_HS256 : enc;
    }

    /** Begins to look for the client's key, unless that is under way: so that those of several clients are waited for at once. */
    public void prepare(ClientModel client) {
        asked.computeIfAbsent(client.getId(), uuid -> fetch(client));
    }

    /** The nested token, or nothing where the client's key cannot be had or does not fit its algorithms. */
    public Optional<String> encrypt(ClientModel client, String issuer, String signed) {
        prepare(client);
        Fetch fetch = asked.get(client.getId());
        try {
            KeyWrapper key = fetch.task().get(fetch.untilNanos() - System.nanoTime(), TimeUnit.NANOSECONDS);
            CekManagementProvider alg = session.getProvider(CekManagementProvider.class, alg(client));
            ContentEncryptionProvider enc = session.getProvider(ContentEncryptionProvider.class, enc(client));
            if (key == null || alg == null || enc == null) {
                LOG.warnf("Client %s gets no logout token: it wants it encrypted with %s and %s, and %s", client.getClientId(),
                        alg(client), enc(client), key == null ? "has no key for that" : "Keycloak does not know that");
                return Optional.empty();
            }
            JWE jwe = new JWE().header(new JweHeader(alg(client), enc(client), key.getKid(), issuer))
                    .content(signed.getBytes(StandardCharsets.UTF_8));
            jwe.getKeyStorage().setEncryptionKey(key.getPublicKey());
            return Optional.of(jwe.encodeJwe(alg.jweAlgorithmProvider(), enc.jweEncryptionProvider()));
        } catch (TimeoutException | CancellationException e) {
            LOG.warnf("Client %s gets no logout token yet: it wants it encrypted, and its key has not come within a second",
                    client.getClientId());
        } catch (ExecutionException | JWEException e) {
            LOG.warnf(e, "Client %s gets no logout token: it wants it encrypted, and its key cannot be had or used", client.getClientId());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return Optional.empty();
    }

    private Fetch fetch(ClientModel client) {
        String uuid = client.getId();
        String realmId = realm.getId();
        // Off the request there may be no address to resolve a relative URL by.
        String frontend = session.getContext().getUri(UrlType.FRONTEND).getBaseUri().toString();
        String admin = session.getContext().getUri(UrlType.ADMIN).getBaseUri().toString();
        KeycloakSessionFactory factory = session.getKeycloakSessionFactory();
        Fetch fetch = new Fetch(new FutureTask<>(() -> {
            try {
                return KeycloakModelUtils.runJobInTransactionWithResult(factory, own -> key(own, realmId, uuid, frontend, admin));
            } finally {
                UNDER_WAY.remove(uuid);
            }
        }), System.nanoTime() + WAIT_NANOS);
        Fetch before = UNDER_WAY.putIfAbsent(uuid, fetch);
        if (before != null) {
            return before;
        }
        try {
            POOL.execute(fetch.task());
        } catch (RejectedExecutionException e) {
            UNDER_WAY.remove(uuid);
            fetch.task().cancel(false);
        }
        return fetch;
    }

    /** As the client's ID tokens have it, from where Keycloak keeps it. */
    @SuppressWarnings("deprecation")
    private static KeyWrapper key(KeycloakSession session, String realmId, String uuid, String frontend, String admin) {
        RealmModel realm = session.realms().getRealm(realmId);
        ClientModel client = realm == null ? null : realm.getClientById(uuid);
        if (client == null) {
            return null;
        }
        session.getContext().setRealm(realm);
        OIDCAdvancedConfigWrapper config = OIDCAdvancedConfigWrapper.fromClientModel(client);
        PublicKeyLoader loader = !config.isUseJwksUrl() ? new ClientPublicKeyLoader(session, client, JWK.Use.ENCRYPTION)
                // The same, which Keycloak's own can do in a request alone.
                : () -> JWKSUtils.getKeyWrappersForUse(JWKSHttpUtils.sendJwksRequest(session, ResolveRelative.resolveRelativeUri(
                        frontend, admin, client.getRootUrl(), config.getJwksUrl())), JWK.Use.ENCRYPTION, true);
        return session.getProvider(PublicKeyStorageProvider.class).getFirstPublicKey(
                PublicKeyStorageUtils.getClientModelCacheKey(realmId, uuid, JWK.Use.ENCRYPTION), alg(client), loader);
    }
}
