package org.logoutrelay.keycloak.containment;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.client.TokenEncryption;
import org.logoutrelay.keycloak.gate.Logins;
import org.logoutrelay.keycloak.gate.SessionStore;
import org.logoutrelay.keycloak.gate.Spared;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.workload.Workloads;

/** Whom an event has to be told to: after the commit, and once more after each later look. */
public final class Listing {
    private Listing() {
    }

    /**
     * Lists the sessions that the ledger knows, live ones that it does not, and those that the user has opened as others.
     * Writes them into the event's rows, which may be handed out from then on.
     */
    public static void list(KeycloakSession session, RealmModel realm, OutboxRow event) {
        UserModel user = session.users().getUserById(realm, event.event().userId());
        List<UserSessionModel> old = Remains.sessions(session, realm, user, event);
        Spared left = event.spared();
        Map<String, ListedSession> sessions = withLedger(session, realm, user, event, old);
        Ledger.openedAsOthers(session, realm, event.event().userId(), event.watermarkMs()).forEach(sessions::putIfAbsent);
        sessions.keySet().removeAll(left.keys(old));
        sessions.remove(event.event().goesOn());
        event.spare(left.kept(old));
        if (event.event().client() != null) {
            event.clientUsed(Workloads.ofAccount(session, realm, event.event().userId()));
        }
        Outbox.list(session, event, List.copyOf(sessions.values()));
    }

    /**
     * Sessions that the event's rows do not list yet, as a supplementary row. A token issued in the same instant as the
     * reset commits its ledger row after the reset has read the ledger.
     *
     * @param ended how many sessions from before the watermark were still stored at this look
     */
    public static void listWhatWasMissed(KeycloakSession session, RealmModel realm, OutboxRow event, int ended) {
        if (event.event().sid() != null) {
            return;
        }
        Set<String> listed = Outbox.listed(session, event.event().txn());
        if (event.event().goesOn() != null) {
            listed.add(event.event().goesOn());
        }
        UserModel user = session.users().getUserById(realm, event.event().userId());
        List<UserSessionModel> old = Remains.sessions(session, realm, user, event);
        listed.addAll(event.spared().keys(old));
        List<ListedSession> missed = withLedger(session, realm, user, event, old).values().stream()
                .filter(found -> !listed.contains(found.key())).toList();
        if (!missed.isEmpty() || ended > 0) {
            OutboxRow row = event.supplement();
            row.survivors(ended);
            Outbox.appendListed(session, row, missed);
        }
    }

    /** Every session that a containment now would end or tell of; offline ones of these clients, by client id, live on. */
    public static Collection<ListedSession> preview(KeycloakSession session, RealmModel realm, UserModel user, long nowMs,
            String issuer, Set<String> sparedClients) {
        List<UserSessionModel> old = SessionStore.fromBefore(session, realm, user, nowMs);
        Map<String, ListedSession> sessions = Ledger.before(session, realm, user.getId(), nowMs);
        listed(session, realm, user, old, issuer, sessions.keySet()).forEach(listed -> sessions.putIfAbsent(listed.key(), listed));
        sessions.keySet().removeAll(new Spared(sparedClients).keys(old));
        return sessions.values();
    }

    private static Map<String, ListedSession> withLedger(KeycloakSession session, RealmModel realm, UserModel user,
            OutboxRow event, List<UserSessionModel> live) {
        Map<String, ListedSession> found = Ledger.before(session, realm, event.event().userId(), event.watermarkMs());
        listed(session, realm, user, live, event.event().iss(), found.keySet())
                .forEach(listed -> found.putIfAbsent(listed.key(), listed));
        return found;
    }

    /** Live sessions that the ledger does not know: from before the extension was installed. */
    static List<ListedSession> listed(KeycloakSession session, RealmModel realm, UserModel user, List<UserSessionModel> old,
            String issuer, Set<String> known) {
        return old.stream()
                .flatMap(userSession -> userSession.getAuthenticatedClientSessions().values().stream())
                .filter(clientSession -> RelyingParty.isOidc(clientSession.getClient()) && !known.contains(
                        ListedSession.key(clientSession.getClient().getId(), clientSession.getUserSession().getId())))
                .map(clientSession -> listed(session, realm, user, clientSession, issuer)).toList();
    }

    private static ListedSession listed(KeycloakSession session, RealmModel realm, UserModel user,
            AuthenticatedClientSessionModel clientSession, String issuer) {
        ClientModel client = clientSession.getClient();
        UserSessionModel userSession = clientSession.getUserSession();
        return new ListedSession(client.getId(), userSession.getId(), RelyingParty.algorithm(realm, client),
                RelyingParty.logoutUriOr(session, client, null), RelyingParty.sessionRequired(client), userSession.isOffline(),
                Math.floorDiv(Logins.began(userSession), 1000L), RelyingParty.latestEnd(realm, client, userSession),
                TokenEncryption.isWanted(client), RelyingParty.claims(session, user, clientSession, issuer));
    }
}
