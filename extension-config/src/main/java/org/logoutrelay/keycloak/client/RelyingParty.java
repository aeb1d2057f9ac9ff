package org.logoutrelay.keycloak.client;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.CibaConfig;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSessionContext;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.OAuth2DeviceConfig;
import org.keycloak.models.ProtocolMapperModel;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.protocol.ProtocolMapper;

import org.keycloak.protocol.oidc.OIDCAdvancedConfigWrapper;
import org.keycloak.protocol.oidc.OIDCConfigAttributes;
import org.keycloak.protocol.oidc.OIDCLoginProtocol;
import org.keycloak.protocol.oidc.mappers.OIDCAttributeMapperHelper;
import org.keycloak.protocol.oidc.mappers.OIDCIDTokenMapper;
import org.keycloak.representations.IDToken;
import org.keycloak.representations.LogoutToken;
import org.keycloak.services.util.DefaultClientSessionContext;
import org.keycloak.services.util.ResolveRelative;
import org.keycloak.crypto.Algorithm;
import org.keycloak.util.JsonSerialization;
import org.keycloak.util.TokenUtil;

/** What we read from a client, seen as a relying party. */
public final class RelyingParty {
    private static final Logger LOG = Logger.getLogger(RelyingParty.class);

    private static final String MAX_LIFE = "logout-relay.session.max-life";
    /** Characters of a logout URL; the relay takes no longer one. */
    private static final int MAX_URI = 2048;
    private static final long MAX_LIFE_DEFAULT = 30L * 24 * 60 * 60;

    /** Say whether people log in to a client, and how long its application's sessions live. */
    private static final Set<String> OF_SESSIONS = Set.of(MAX_LIFE,
            OAuth2DeviceConfig.OAUTH2_DEVICE_AUTHORIZATION_GRANT_ENABLED, CibaConfig.OIDC_CIBA_GRANT_ENABLED);

    private RelyingParty() {
    }

    public static boolean isOidc(ClientModel client) {
        return client.getProtocol() == null || OIDCLoginProtocol.LOGIN_PROTOCOL.equals(client.getProtocol());
    }

    /** The back-channel logout URL, absolute where it can be made so, or null when the client has none. */
    public static String logoutUri(KeycloakSession session, ClientModel client) {
        String uri = OIDCAdvancedConfigWrapper.fromClientModel(client).getBackchannelLogoutUrl();
        if (uri == null || uri.isBlank()) {
            return null;
        }
        String absolute = uri.startsWith("/") ? resolved(session, client, uri) : uri;
        return absolute.length() > MAX_URI ? null : absolute;
    }

    /** Keycloak's own address is needed only where the client names no other. Off the request Keycloak cannot say it. */
    private static String resolved(KeycloakSession session, ClientModel client, String uri) {
        String root = client.getRootUrl();
        if (root == null || root.isBlank()) {
            return Issuers.base(session, client.getRealm()) + uri;
        }
        String own = root.startsWith("${") ? Issuers.base(session, client.getRealm()) : "";
        return ResolveRelative.resolveRelativeUri(own, own, root, uri);
    }

    /**
     * The same; {@code fallback} where the client has none, or none that can be had: one client must not hold up others, nor
     * fail a login.
     */
    public static String logoutUriOr(KeycloakSession session, ClientModel client, String fallback) {
        try {
            String today = client == null ? null : logoutUri(session, client);
            return today == null ? fallback : today;
        } catch (RuntimeException e) {
            LOG.warnf("Client %s: its logout URL cannot be resolved (%s)", client.getClientId(), e.getClass().getSimpleName());
            return fallback;
        }
    }

    /** What is wrong with these settings of a client, or null. Such a client is not saved; a login there must not fail for it. */
    public static String complaint(Map<String, String> attributes) {
        String uri = attributes.get(OIDCConfigAttributes.BACKCHANNEL_LOGOUT_URL);
        return uri == null || uri.length() <= MAX_URI ? null : OIDCConfigAttributes.BACKCHANNEL_LOGOUT_URL + " has "
                + uri.length() + " characters; give a logout URL of at most " + MAX_URI;
    }

    public static boolean sessionRequired(ClientModel client) {
        return OIDCAdvancedConfigWrapper.fromClientModel(client).isBackchannelLogoutSessionRequired();
    }

    /** The algorithm Keycloak would sign this client's logout token with. */
    public static String algorithm(RealmModel realm, ClientModel client) {
        String alg = client.getAttribute(OIDCConfigAttributes.ID_TOKEN_SIGNED_RESPONSE_ALG);
        if (alg == null || alg.isBlank()) {
            alg = realm.getDefaultSignatureAlgorithm();
        }
        return alg == null || alg.isBlank() ? Algorithm.RS256 : alg;
    }

    /**
     * Seconds since the epoch: the greater of Keycloak's own maximum and what the operator says this relying party's
     * sessions can live. Keycloak's maximum of an idle-limited offline session is unknown; such rows are kept by
     * {@code LedgerPast} as long as Keycloak's session lives.
     */
    public static long latestEnd(RealmModel realm, ClientModel client, UserSessionModel userSession) {
        long now = Time.currentTime();
        long keycloak;
        if (userSession.isOffline()) {
            keycloak = now + (realm.isOfflineSessionMaxLifespanEnabled() ? realm.getOfflineSessionMaxLifespan()
                    : realm.getOfflineSessionIdleTimeout());
        } else {
            int remembered = userSession.isRememberMe() ? realm.getSsoSessionMaxLifespanRememberMe() : 0;
            keycloak = userSession.getStarted() + (long) Math.max(remembered, realm.getSsoSessionMaxLifespan());
        }
        return Math.max(keycloak, now + maxLife(client.getAttribute(MAX_LIFE)));
    }

    /**
     * Whether its application has nothing but its tokens, in a browser or on a device, unless something tells of more: a public
     * client, and the command line by which operators act. As the relay's audit judges it.
     *
     * @param operators the clients, by client id, that the realm has for operators alone
     */
    public static boolean hasTokensOnly(ClientModel client, Set<String> operators) {
        String life = client.getAttribute(MAX_LIFE);
        return (client.isPublicClient() || operators.contains(client.getClientId()) && isDevice(client))
                && (life == null || life.isBlank());
    }

    /** People reach it by the device grant alone. One of any other with a secret may be a server that keeps sessions. */
    private static boolean isDevice(ClientModel client) {
        boolean others = client.isStandardFlowEnabled() || client.isImplicitFlowEnabled()
                || client.isDirectAccessGrantsEnabled() || isOn(client, CibaConfig.OIDC_CIBA_GRANT_ENABLED);
        return isOn(client, OAuth2DeviceConfig.OAUTH2_DEVICE_AUTHORIZATION_GRANT_ENABLED) && !others;
    }

    private static boolean isOn(ClientModel client, String attribute) {
        return Boolean.parseBoolean(client.getAttribute(attribute));
    }

    /** Seconds. An unusable value counts as the default: a longer wait for an answer harms nobody, a shorter one does. */
    static long maxLife(String attribute) {
        if (attribute == null || attribute.isBlank()) {
            return MAX_LIFE_DEFAULT;
        }
        try {
            long seconds = Long.parseLong(attribute.trim());
            return seconds > 0 ? seconds : MAX_LIFE_DEFAULT;
        } catch (NumberFormatException e) {
            return MAX_LIFE_DEFAULT;
        }
    }

    /** As the Admin API has it, and only what says whether its application keeps a session: no secret. */
    public static Map<String, Object> represent(ClientModel client) {
        Map<String, String> attributes = new HashMap<>(client.getAttributes());
        attributes.keySet().retainAll(OF_SESSIONS);
        return Map.of("clientId", client.getClientId(), "enabled", client.isEnabled(),
                "publicClient", client.isPublicClient(), "bearerOnly", client.isBearerOnly(),
                "standardFlowEnabled", client.isStandardFlowEnabled(),
                "implicitFlowEnabled", client.isImplicitFlowEnabled(),
                "directAccessGrantsEnabled", client.isDirectAccessGrantsEnabled(), "attributes", attributes);
    }

    /**
     * Unsigned claims of a logout token for this session. A client whose mappers cannot make a token (a pairwise mapper
     * without a sector throws) must fail no login that works without us, and no reset.
     */
    public static LogoutToken claims(KeycloakSession session, UserModel user, AuthenticatedClientSessionModel clientSession,
            String issuer) {
        try {
            return claimsAsGiven(session, user, clientSession, issuer);
        } catch (RuntimeException e) {
            LOG.warnf("Client %s: Keycloak cannot make its tokens (%s); its logout token will name the user's own id. "
                    + "Check the client's protocol mappers.", clientSession.getClient().getClientId(), e.getClass().getSimpleName());
            return plainClaims(user, clientSession, issuer);
        }
    }

    /**
     * Keycloak's own builder knows a pairwise {@code sub} and the issuer that this client saw at login; it leaves {@code sid}
     * out where the client does not ask for it, but without it some relying parties answer 200 and end nothing.
     */
    private static LogoutToken claimsAsGiven(KeycloakSession session, UserModel user,
            AuthenticatedClientSessionModel clientSession, String issuer) {
        LogoutToken claims = session.tokens().initLogoutToken(clientSession.getClient(), user, clientSession);
        IDToken given = asGiven(session, clientSession, claims.getSubject());
        claims.setSubject(given(given, "sub", given.getSubject()));
        claims.setSid(given(given, "sid", clientSession.getUserSession().getId()));
        if (claims.getIssuer() == null) {
            claims.issuer(issuer);
        }
        return claims;
    }

    /** What a logout token says by the client's settings: those may have changed since the login. */
    public static void asOfToday(LogoutToken claims, ClientModel client) {
        claims.audience(client.getClientId());
        if (OIDCAdvancedConfigWrapper.fromClientModel(client).getBackchannelLogoutRevokeOfflineTokens()) {
            claims.putEvents(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT_REVOKE_OFFLINE_TOKENS, true);
        } else {
            claims.getEvents().remove(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT_REVOKE_OFFLINE_TOKENS);
        }
    }

    /**
     * What the client was given in its ID token of {@code sub} and {@code sid}: any mapper may have set them, and Keycloak's own
     * logout tokens heed those for pairwise subjects alone.
     */
    private static IDToken asGiven(KeycloakSession session, AuthenticatedClientSessionModel clientSession, String subject) {
        ClientSessionContext given = DefaultClientSessionContext.fromClientSessionScopeParameter(clientSession, session);
        List<ProtocolMapperModel> setting = given.getProtocolMappersStream().filter(mapper -> List.of("sub", "sid")
                .contains(String.valueOf(mapper.getConfig().get(OIDCAttributeMapperHelper.TOKEN_CLAIM_NAME)))).toList();
        IDToken idToken = new IDToken();
        idToken.subject(subject);
        for (ProtocolMapperModel mapper : setting) {
            ProtocolMapper provider = (ProtocolMapper) session.getKeycloakSessionFactory()
                    .getProviderFactory(ProtocolMapper.class, mapper.getProtocolMapper());
            if (provider instanceof OIDCIDTokenMapper sets) {
                idToken = sets.transformIDToken(idToken, mapper, session, clientSession.getUserSession(), given);
            }
        }
        return idToken;
    }

    private static String given(IDToken token, String claim, String otherwise) {
        Object mapped = token.getOtherClaims().get(claim);
        return mapped == null ? otherwise : mapped.toString();
    }

    /** Claims that name no session and no user. */
    public static LogoutToken claimsOfNobody(ClientModel client, String issuer) {
        LogoutToken claims = new LogoutToken();
        claims.issuer(issuer);
        claims.addAudience(client.getClientId());
        claims.setSubject(UUID.randomUUID().toString());
        claims.setSid(UUID.randomUUID().toString());
        claims.putEvents(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT, JsonSerialization.createObjectNode());
        return claims;
    }

    private static LogoutToken plainClaims(UserModel user, AuthenticatedClientSessionModel clientSession, String issuer) {
        LogoutToken claims = new LogoutToken();
        claims.issuer(issuer);
        claims.addAudience(clientSession.getClient().getClientId());
        claims.setSubject(user.getId());
        claims.setSid(clientSession.getUserSession().getId());
        claims.putEvents(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT, JsonSerialization.createObjectNode());
        return claims;
    }
}
