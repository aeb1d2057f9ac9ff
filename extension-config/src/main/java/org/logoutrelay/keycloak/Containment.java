package org.logoutrelay.keycloak;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.representations.LogoutToken;

import jakarta.persistence.EntityManager;

/**
 * What a security event does to its subject at Keycloak. {@link #begin} runs inside the transaction of the change, and
 * {@link #endOldSessions} again after it until nothing old is left.
 */
final class Containment {
    /** Sessions in one SET; more become several with the same {@code txn}. */
    static final int PART_SIZE = 500;

    private static final Logger LOG = Logger.getLogger(Containment.class);

    private Containment() {
    }

    /**
     * Asks Keycloak to remove the subject's sessions, and says what to write with the change: the watermark, the user's
     * not-before, and outbox rows with every session of the subject. Throws where it cannot; the change must then fail.
     */
    static AllOrNothing.Recording begin(KeycloakSession session, RealmModel realm, Trigger.Match match, String issuer) {
        UserModel user = session.users().getUserById(realm, match.userId());
        if (user == null) {
            throw new IllegalStateException("The user of a " + match.trigger().id() + " event does not exist");
        }
        String txn = UUID.randomUUID().toString();
        long watermarkMs = Time.currentTimeMillis();
        List<UserSessionModel> old = liveOldSessions(session, realm, user, watermarkMs);
        List<ListedSession> live = listed(session, realm, user, old, issuer);
        remove(session, realm, old);
        return () -> {
            EntityManager em = Ledger.em(session);
            em.persist(watermark(realm, user, watermarkMs, txn));
            // Not-before compares whole seconds and spares a token of the same second; the removal does not.
            int seconds = (int) Math.floorDiv(watermarkMs, 1000L);
            if (session.users().getNotBeforeOfUser(realm, user) < seconds) {
                session.users().setNotBeforeForUser(realm, user, seconds);
            }
            writeRows(em, realm, user.getId(), match.trigger().id(), txn, watermarkMs, issuer,
                    withLedger(session, realm, user, watermarkMs, live));
            return txn;
        };
    }

    private static WatermarkRow watermark(RealmModel realm, UserModel user, long watermarkMs, String txn) {
        WatermarkRow row = new WatermarkRow();
        row.id = UUID.randomUUID().toString();
        row.realmId = realm.getId();
        row.userId = user.getId();
        row.watermarkMs = watermarkMs;
        row.txn = txn;
        return row;
    }

    /**
     * Sessions that the txn's rows do not list yet, as a supplementary row. A token issued in the same instant as the
     * reset commits its ledger row after the reset has read the ledger.
     */
    static void listWhatWasMissed(KeycloakSession session, RealmModel realm, OutboxRow first) {
        UserModel user = session.users().getUserById(realm, first.userId);
        if (user == null) {
            return;
        }
        EntityManager em = Ledger.em(session);
        Set<String> listed = new HashSet<>();
        em.createQuery("select o.sessions from OutboxRow o where o.txn = :txn", String.class)
                .setParameter("txn", first.txn).getResultStream()
                .flatMap(json -> ListedSession.read(json).stream()).forEach(s -> listed.add(s.key()));
        List<ListedSession> missed = withLedger(session, realm, user, first.watermarkMs,
                listed(session, realm, user, liveOldSessions(session, realm, user, first.watermarkMs), first.iss)).stream()
                .filter(s -> !listed.contains(s.key())).toList();
        if (!missed.isEmpty()) {
            writeRows(em, realm, first.userId, first.triggerId, first.txn, first.watermarkMs, first.iss, missed);
        }
    }

    /**
     * Asks Keycloak to remove every session, online and offline, whose login began before the watermark. It does so after
     * the commit.
     *
     * @return how many there were; 0 says that they have been seen to be gone
     */
    static int endOldSessions(KeycloakSession session, RealmModel realm, UserModel user, long watermarkMs) {
        List<UserSessionModel> old = liveOldSessions(session, realm, user, watermarkMs);
        remove(session, realm, old);
        return old.size();
    }

    private static void remove(KeycloakSession session, RealmModel realm, List<UserSessionModel> old) {
        for (UserSessionModel userSession : old) {
            if (userSession.isOffline()) {
                session.sessions().removeOfflineUserSession(realm, userSession);
            } else {
                session.sessions().removeUserSession(realm, userSession);
            }
        }
    }

    private static List<UserSessionModel> liveOldSessions(KeycloakSession session, RealmModel realm, UserModel user,
            long watermarkMs) {
        List<UserSessionModel> old = new ArrayList<>();
        // Collected before any is removed: both streams read from the store that the removal changes.
        session.sessions().getUserSessionsStream(realm, user).forEach(old::add);
        session.sessions().getOfflineUserSessionsStream(realm, user).forEach(old::add);
        old.removeIf(s -> !Logins.isOld(Logins.began(s), watermarkMs));
        return old;
    }

    /** Those the ledger knows, and live ones that it does not (from before the extension was installed). */
    private static List<ListedSession> withLedger(KeycloakSession session, RealmModel realm, UserModel user,
            long watermarkMs, List<ListedSession> live) {
        Map<String, ListedSession> found = Ledger.before(session, realm, user.getId(), watermarkMs);
        live.forEach(listed -> found.putIfAbsent(listed.key(), listed));
        return List.copyOf(found.values());
    }

    private static List<ListedSession> listed(KeycloakSession session, RealmModel realm, UserModel user,
            List<UserSessionModel> old, String issuer) {
        return old.stream()
                .flatMap(userSession -> userSession.getAuthenticatedClientSessions().values().stream())
                .filter(clientSession -> RelyingParty.isOidc(clientSession.getClient()))
                .map(clientSession -> listed(session, realm, user, clientSession, issuer)).toList();
    }

    private static ListedSession listed(KeycloakSession session, RealmModel realm, UserModel user,
            AuthenticatedClientSessionModel clientSession, String issuer) {
        ClientModel client = clientSession.getClient();
        UserSessionModel userSession = clientSession.getUserSession();
        LogoutToken claims;
        try {
            claims = RelyingParty.claims(session, user, clientSession, issuer);
        } catch (RuntimeException e) {
            LOG.warnf("Client %s: Keycloak cannot make its tokens (%s); its logout token will name the user's own id. "
                    + "Check the client's protocol mappers.", client.getClientId(), e.getClass().getSimpleName());
            claims = RelyingParty.plainClaims(user, clientSession, issuer);
        }
        return new ListedSession(client.getId(), userSession.getId(), RelyingParty.algorithm(realm, client),
                RelyingParty.logoutUri(session, client), RelyingParty.sessionRequired(client), userSession.isOffline(),
                Logins.began(userSession), RelyingParty.latestEnd(realm, client, userSession), claims);
    }

    private static void writeRows(EntityManager em, RealmModel realm, String userId, String triggerId, String txn,
            long watermarkMs, String issuer, List<ListedSession> sessions) {
        List<List<ListedSession>> parts = parts(sessions);
        for (int part = 0; part < parts.size(); part++) {
            List<ListedSession> listed = parts.get(part);
            OutboxRow row = new OutboxRow();
            row.jti = UUID.randomUUID().toString();
            row.txn = txn;
            row.realmId = realm.getId();
            row.userId = userId;
            row.iss = issuer;
            row.triggerId = triggerId;
            row.watermarkMs = watermarkMs;
            row.part = part + 1;
            row.parts = parts.size();
            row.sessions = ListedSession.write(listed);
            row.lastEnd = listed.stream().mapToLong(ListedSession::latestEnd).max().orElse(0);
            row.openSessions = (int) listed.stream().filter(s -> s.logoutUri() != null).count();
            em.persist(row);
        }
    }

    /** At least one part, even of a subject without sessions: the event itself is reported too. */
    static List<List<ListedSession>> parts(List<ListedSession> sessions) {
        List<List<ListedSession>> parts = new ArrayList<>();
        for (int from = 0; from == 0 || from < sessions.size(); from += PART_SIZE) {
            parts.add(sessions.subList(from, Math.min(from + PART_SIZE, sessions.size())));
        }
        return parts;
    }
}
