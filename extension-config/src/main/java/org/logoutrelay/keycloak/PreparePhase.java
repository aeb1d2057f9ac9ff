package org.logoutrelay.keycloak;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.protocol.oidc.OIDCLoginProtocol;
import org.keycloak.protocol.oidc.utils.OIDCResponseType;
import org.keycloak.services.Urls;
import org.keycloak.urls.UrlType;

/**
 * What must commit together with the change or the login, or neither does: one for each Keycloak session, in the prepare
 * phase of its transaction. An exception here rolls everything back and answers the request with 500. This is the only
 * place where Keycloak offers that: an exception in the listener is swallowed, and {@code setRollbackOnly} tells the
 * administrator that all went well.
 */
final class PreparePhase extends AbstractKeycloakTransaction {
    private static final String ATTRIBUTE = PreparePhase.class.getName();

    private final KeycloakSession session;
    private final AfterCommit afterCommit;
    private final List<TokenIssue> issues = new ArrayList<>();
    private final Set<Noted> triggers = new LinkedHashSet<>();
    private boolean enlisted;

    /** A login or a code exchange: enough to find the session again at the commit. */
    private record TokenIssue(EventType type, String realmId, String clientId, String sid, boolean directGrant,
            Long loginBegan) {
    }

    /** A security event and the realm it happened in, which is not the administrator's. */
    private record Noted(String realmId, Trigger.Match match) {
    }

    private PreparePhase(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.afterCommit = afterCommit;
    }

    /** Keycloak may make several listeners for one session; there is one of these. */
    static PreparePhase of(KeycloakSession session, AfterCommit afterCommit) {
        PreparePhase known = session.getAttribute(ATTRIBUTE, PreparePhase.class);
        if (known == null) {
            known = new PreparePhase(session, afterCommit);
            session.setAttribute(ATTRIBUTE, known);
        }
        return known;
    }

    void enlist() {
        if (!enlisted) {
            session.getTransactionManager().enlistPrepare(this);
            enlisted = true;
        }
    }

    void noteTokenIssue(Event event) {
        boolean directGrant = event.getDetails() != null
                && "oauth_credentials".equals(event.getDetails().get(Details.AUTH_METHOD));
        issues.add(new TokenIssue(event.getType(), event.getRealmId(), event.getClientId(), event.getSessionId(),
                directGrant, Logins.began(session.getContext().getAuthenticationSession())));
    }

    void noteTrigger(Trigger.Match match) {
        triggers.add(new Noted(session.getContext().getRealm().getId(), match));
    }

    @Override
    protected void commitImpl() {
        for (TokenIssue issue : issues) {
            recordTokenIssue(issue);
        }
        if (!issues.isEmpty()) {
            // Here and not at the commit, where Keycloak would answer 409 "Duplicate resource".
            Ledger.em(session).flush();
        }
        List<String> txns = new ArrayList<>();
        for (Noted noted : triggers) {
            RealmModel realm = session.realms().getRealm(noted.realmId());
            txns.add(Containment.begin(session, realm, noted.match(), issuer(realm)));
        }
        if (!txns.isEmpty()) {
            // Enlisted last, so that it runs after Keycloak's own removal of the sessions.
            afterCommit.enlist(session, txns);
        }
    }

    @Override
    protected void rollbackImpl() {
        // nothing outside the transaction
    }

    private void recordTokenIssue(TokenIssue issue) {
        RealmModel realm = session.realms().getRealm(issue.realmId());
        ClientModel client = issue.clientId() == null ? null : realm.getClientByClientId(issue.clientId());
        if (client == null || issue.sid() == null || !RelyingParty.isOidc(client)) {
            return;
        }
        UserSessionModel online = session.sessions().getUserSession(realm, issue.sid());
        if (online != null && issue.type() == EventType.LOGIN) {
            Logins.stamp(online, issue.loginBegan());
        }
        AuthenticatedClientSessionModel given = clientSession(online, client);
        UserSessionModel offline = session.sessions().getOfflineUserSession(realm, issue.sid());
        AuthenticatedClientSessionModel givenOffline = clientSession(offline, client);
        if (issue.type() == EventType.LOGIN && !issue.directGrant() && !issuesTokensAtLogin(given)) {
            return;
        }
        // With offline_access as the first thing asked for, Keycloak keeps the offline session only.
        for (AuthenticatedClientSessionModel clientSession : new AuthenticatedClientSessionModel[] {given, givenOffline}) {
            if (clientSession != null) {
                Ledger.append(session, realm, clientSession, issuer(realm));
            }
        }
    }

    private static AuthenticatedClientSessionModel clientSession(UserSessionModel userSession, ClientModel client) {
        return userSession == null ? null : userSession.getAuthenticatedClientSessionByClient(client.getId());
    }

    /** Implicit and hybrid flows hand out tokens with the login itself; the code flow does so at the exchange. */
    private static boolean issuesTokensAtLogin(AuthenticatedClientSessionModel clientSession) {
        String responseType = clientSession == null ? null
                : clientSession.getNote(OIDCLoginProtocol.RESPONSE_TYPE_PARAM);
        return responseType != null && OIDCResponseType.parse(responseType).isImplicitOrHybridFlow();
    }

    private String issuer(RealmModel realm) {
        return Urls.realmIssuer(session.getContext().getUri(UrlType.FRONTEND).getBaseUri(), realm.getName());
    }
}
