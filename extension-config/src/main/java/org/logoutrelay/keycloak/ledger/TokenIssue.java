package org.logoutrelay.keycloak.ledger;

import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

import org.keycloak.OAuth2Constants;
import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.protocol.oidc.OIDCLoginProtocol;
import org.keycloak.protocol.oidc.utils.OIDCResponseType;
import org.keycloak.util.TokenUtil;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.gate.Logins;
import org.logoutrelay.keycloak.gate.SessionStore;

/** Which logins and exchanges give a client a session, and so a row in the ledger. */
public final class TokenIssue {
    private static final Set<EventType> TYPES = Set.of(EventType.LOGIN, EventType.CODE_TO_TOKEN,
            EventType.OAUTH2_DEVICE_CODE_TO_TOKEN, EventType.AUTHREQID_TO_TOKEN, EventType.TOKEN_EXCHANGE);

    private final KeycloakSession session;
    private final RealmModel realm;
    private final String issuer;

    public static boolean is(Event event) {
        return TYPES.contains(event.getType());
    }

    public TokenIssue(KeycloakSession session, RealmModel realm, String issuer) {
        this.session = session;
        this.realm = realm;
        this.issuer = issuer;
    }

    /** Says what to append to the ledger. */
    public AllOrNothing.Recording note(Event event) {
        ClientModel client = event.getClientId() == null ? null : realm.getClientByClientId(event.getClientId());
        if (client == null || event.getSessionId() == null) {
            return AllOrNothing.Recording.NOTHING;
        }
        UserSessionModel online = SessionStore.of(session).getUserSession(realm, event.getSessionId());
        Logins.stampWhereMissing(session, online);
        List<LedgerRow> rows = rows(event, client, online);
        return () -> {
            rows.forEach(Jpa.em(session)::persist);
            return null;
        };
    }

    private List<LedgerRow> rows(Event event, ClientModel client, UserSessionModel online) {
        AuthenticatedClientSessionModel given = clientSession(online, client);
        if (!RelyingParty.isOidc(client) || event.getType() == EventType.LOGIN && !issuesTokensAtLogin(event, given)) {
            return List.of();
        }
        // With offline_access as the first thing it asked for, the client is left with the offline session alone.
        AuthenticatedClientSessionModel givenOffline = given != null && isOnlineAlone(event) ? null : clientSession(
                SessionStore.of(session).getOfflineUserSession(realm, event.getSessionId()), client);
        return Stream.of(Optional.ofNullable(given), Optional.ofNullable(givenOffline)).flatMap(Optional::stream)
                .map(clientSession -> Ledger.row(session, realm, clientSession, issuer)).toList();
    }

    /** A login that Keycloak itself says gave a refresh token of the online session: no need to ask for another one. */
    private static boolean isOnlineAlone(Event event) {
        return Set.of(EventType.LOGIN, EventType.CODE_TO_TOKEN).contains(event.getType()) && event.getDetails() != null
                && TokenUtil.TOKEN_TYPE_REFRESH.equals(event.getDetails().get(Details.REFRESH_TOKEN_TYPE));
    }

    private static AuthenticatedClientSessionModel clientSession(UserSessionModel userSession, ClientModel client) {
        return userSession == null ? null : userSession.getAuthenticatedClientSessionByClient(client.getId());
    }

    /** Direct grant, implicit and hybrid flows hand out tokens with the login; the code flow does so at the exchange. */
    private static boolean issuesTokensAtLogin(Event event, AuthenticatedClientSessionModel clientSession) {
        if (event.getDetails() != null && OAuth2Constants.PASSWORD.equals(event.getDetails().get(Details.GRANT_TYPE))) {
            return true;
        }
        String responseType = clientSession == null ? null
                : clientSession.getNote(OIDCLoginProtocol.RESPONSE_TYPE_PARAM);
        return responseType != null && OIDCResponseType.parse(responseType).isImplicitOrHybridFlow();
    }
}
