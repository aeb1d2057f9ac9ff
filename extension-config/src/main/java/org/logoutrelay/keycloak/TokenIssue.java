package org.logoutrelay.keycloak;

import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.OAuth2Constants;
import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.protocol.oidc.OIDCLoginProtocol;
import org.keycloak.protocol.oidc.grants.ciba.CibaGrantType;
import org.keycloak.protocol.oidc.grants.ciba.channel.CIBAAuthenticationRequest;
import org.keycloak.protocol.oidc.utils.OIDCResponseType;

/**
 * Which logins and exchanges give a client a session, and so a row in the ledger. A login that began before its subject's
 * watermark gives it none.
 */
final class TokenIssue {
    private static final Logger LOG = Logger.getLogger(TokenIssue.class);
    private static final Set<EventType> TYPES = Set.of(EventType.LOGIN, EventType.CODE_TO_TOKEN,
            EventType.OAUTH2_DEVICE_CODE_TO_TOKEN, EventType.AUTHREQID_TO_TOKEN, EventType.TOKEN_EXCHANGE);

    private final KeycloakSession session;
    private final RealmModel realm;
    private final String issuer;

    static boolean is(Event event) {
        return TYPES.contains(event.getType());
    }

    TokenIssue(KeycloakSession session, RealmModel realm, String issuer) {
        this.session = session;
        this.realm = realm;
        this.issuer = issuer;
    }

    /**
     * Stamps the session with the beginning of its login, and says what to append to the ledger.
     *
     * @param sparedUpTo the watermark up to which this login is spared, or null
     * @throws AllOrNothing.Refusal where a login from before the subject's watermark would get tokens at once
     */
    AllOrNothing.Recording note(Event event, Long sparedUpTo) {
        ClientModel client = event.getClientId() == null ? null : realm.getClientByClientId(event.getClientId());
        if (client == null || event.getSessionId() == null) {
            return AllOrNothing.Recording.NOTHING;
        }
        UserSessionModel online = session.sessions().getUserSession(realm, event.getSessionId());
        if (online != null) {
            if (event.getType() == EventType.AUTHREQID_TO_TOKEN) {
                Logins.stamp(online, approvalAsked());
            } else if (event.getType() != EventType.TOKEN_EXCHANGE) {
                Logins.stamp(online, session.getContext().getAuthenticationSession(), sparedUpTo);
            }
            long watermarkMs = watermark(online);
            if (Logins.isOld(Logins.began(online), watermarkMs)) {
                return tooLate(event, client, online, watermarkMs);
            }
        }
        List<LedgerRow> rows = rows(event, client, online);
        return () -> {
            rows.forEach(Ledger.em(session)::persist);
            if (event.getType() == EventType.LOGIN && event.getUserId() != null) {
                Watch.count(session, realm.getId(), event.getUserId(), Watch.Sight.LOGIN);
            }
            return null;
        };
    }

    /** The greater of the user's and of the one's who has opened the session as that user. */
    private long watermark(UserSessionModel online) {
        long own = Ledger.watermark(session, realm, online.getUser().getId());
        String impersonator = online.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString());
        return impersonator == null ? own : Math.max(own, Ledger.watermark(session, impersonator));
    }

    /**
     * Milliseconds. When the client asked for the approval (CIBA) that it now gets tokens for. The session is made at this
     * moment and looks new, however long ago the person approved.
     */
    private long approvalAsked() {
        String id = session.getContext().getHttpRequest().getDecodedFormParameters().getFirst(CibaGrantType.AUTH_REQ_ID);
        try {
            Long asked = CIBAAuthenticationRequest.deserialize(session, id).getIat();
            return asked == null ? 0 : asked * 1000L;
        } catch (Exception e) {
            throw new IllegalStateException("A request for approval that Keycloak took could not be read", e);
        }
    }

    /** A login that was under way when everything from before was ended. Its code, if it gets one, is worth nothing. */
    private AllOrNothing.Recording tooLate(Event event, ClientModel client, UserSessionModel online, long watermarkMs) {
        Watch.countApart(session, realm.getId(), online.getUser().getId(), Watch.Sight.FAILED_LOGIN);
        boolean codeOnly = event.getType() == EventType.LOGIN && RelyingParty.isOidc(client)
                && !issuesTokensAtLogin(event, clientSession(online, client)) && !gaveConsent(event);
        if (!codeOnly) {
            throw new AllOrNothing.Refusal("A login that began before its user's sessions were ended was refused; "
                    + "the person has to log in again");
        }
        LOG.warnf("A login at client %s that began %d ms before its user's sessions were ended got a code that is worth nothing",
                client.getClientId(), watermarkMs - Logins.began(online));
        session.sessions().removeUserSession(realm, online);
        return AllOrNothing.Recording.NOTHING;
    }

    private List<LedgerRow> rows(Event event, ClientModel client, UserSessionModel online) {
        AuthenticatedClientSessionModel given = clientSession(online, client);
        if (!RelyingParty.isOidc(client) || event.getType() == EventType.LOGIN && !issuesTokensAtLogin(event, given)) {
            return List.of();
        }
        // With offline_access as the first thing it asked for, the client is left with the offline session alone.
        AuthenticatedClientSessionModel givenOffline = clientSession(
                session.sessions().getOfflineUserSession(realm, event.getSessionId()), client);
        return Stream.of(Optional.ofNullable(given), Optional.ofNullable(givenOffline)).flatMap(Optional::stream)
                .map(clientSession -> Ledger.row(session, realm, clientSession, issuer)).toList();
    }

    private static AuthenticatedClientSessionModel clientSession(UserSessionModel userSession, ClientModel client) {
        return userSession == null ? null : userSession.getAuthenticatedClientSessionByClient(client.getId());
    }

    /** On this login's last page: the consent would outlive it. */
    private static boolean gaveConsent(Event event) {
        return event.getDetails() != null
                && Details.CONSENT_VALUE_CONSENT_GRANTED.equals(event.getDetails().get(Details.CONSENT));
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
