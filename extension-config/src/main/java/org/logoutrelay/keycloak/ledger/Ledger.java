package org.logoutrelay.keycloak.ledger;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

import org.keycloak.common.util.Time;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.representations.LogoutToken;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Json;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.client.TokenEncryption;
import org.logoutrelay.keycloak.gate.Gate;
import org.logoutrelay.keycloak.gate.SessionStore;

/**
 * The record of every session that an application was given, kept because Keycloak forgets: an application's cookie
 * outlives Keycloak's session by weeks, and "sign out from other devices" removes the sessions before a listener can see
 * them. Only a relying party's answer ends a row early.
 */
public final class Ledger {
    /** Rows looked at in one pruning, so that no transaction grows with history. */
    public static final int PRUNE_BATCH = 500;

    /** Characters of the column. */
    private static final int MAX_ALG = 20;

    private Ledger() {
    }

    /** What this client was just given. */
    static LedgerRow row(KeycloakSession session, RealmModel realm, AuthenticatedClientSessionModel clientSession,
            String issuer) {
        ClientModel client = clientSession.getClient();
        UserSessionModel userSession = clientSession.getUserSession();
        LedgerRow row = new LedgerRow();
        row.id = Ids.next();
        row.realmId = realm.getId();
        row.userId = userSession.getUser().getId();
        row.clientUuid = client.getId();
        row.sid = userSession.getId();
        row.offline = userSession.isOffline();
        row.loginBegan = Gate.of(session).countsFrom(userSession);
        row.issuedMs = Time.currentTimeMillis();
        row.latestEnd = RelyingParty.latestEnd(realm, client, userSession);
        row.alg = cut(RelyingParty.algorithm(realm, client));
        row.logoutUri = RelyingParty.logoutUriOr(session, client, null);
        row.impersonator = userSession.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString());
        row.claims = Json.write(RelyingParty.claims(session, userSession.getUser(), clientSession, issuer));
        return row;
    }

    /**
     * The subject's sessions from before the watermark that may still live, by {@link ListedSession#key()}, newest row of
     * each. The logout URL is the client's of today where it has one, else the one of its login.
     */
    public static Map<String, ListedSession> before(KeycloakSession session, RealmModel realm, String userId, long watermarkMs) {
        // Ids begin with their time. Read are as many rows as there are sessions: whoever has one may write any number.
        return newest(session, realm, Jpa.em(session).createQuery("select l from LedgerRow l where l.id in"
                + " (select max(m.id) from LedgerRow m where m.userId = :user and m.realmId = :realm"
                + " and m.loginBegan <= :watermark and m.latestEnd >= :now group by m.clientUuid, m.sid)", LedgerRow.class)
                .setParameter("user", userId).setParameter("realm", realm.getId()).setParameter("watermark", watermarkMs)
                .setParameter("now", (long) Time.currentTime()).getResultList());
    }

    /** All that was issued in this one session. */
    public static Map<String, ListedSession> ofSession(KeycloakSession session, RealmModel realm, String userId, String sid) {
        return newest(session, realm, Jpa.em(session).createQuery("select l from LedgerRow l where l.userId = :user"
                + " and l.realmId = :realm and l.sid = :sid order by l.issuedMs desc", LedgerRow.class)
                .setParameter("user", userId).setParameter("realm", realm.getId()).setParameter("sid", sid).getResultList());
    }

    /** Whose session this was, or null. Keycloak does not say so once it is gone. */
    public static String userOf(KeycloakSession session, RealmModel realm, String sid) {
        return Jpa.em(session).createQuery("select l.userId from LedgerRow l where l.sid = :sid and l.realmId = :realm", String.class)
                .setParameter("sid", sid).setParameter("realm", realm.getId()).setMaxResults(1).getResultStream()
                .findFirst().orElse(null);
    }

    /** A session by its realm's id and its own. */
    public record Opened(String realmId, String sid) {
    }

    /** The sessions that the user opened as others, in whichever realm: an administrator may do so in another than their own. */
    public static List<Opened> openedAsOthersAnywhere(KeycloakSession session, String userId, long watermarkMs) {
        return Jpa.em(session).createQuery("select distinct l.realmId, l.sid from LedgerRow l where l.impersonator = :user"
                + " and l.loginBegan <= :watermark", Object[].class).setParameter("user", userId)
                .setParameter("watermark", watermarkMs).getResultStream()
                .map(row -> new Opened((String) row[0], (String) row[1])).toList();
    }

    /** Those of them in this realm. Their tokens must not name those others: it would end all they have. */
    public static Map<String, ListedSession> openedAsOthers(KeycloakSession session, RealmModel realm, String userId, long watermarkMs) {
        List<LedgerRow> rows = Jpa.em(session).createQuery("select l from LedgerRow l where l.impersonator = :user"
                + " and l.realmId = :realm and l.loginBegan <= :watermark order by l.issuedMs desc", LedgerRow.class)
                .setParameter("user", userId).setParameter("realm", realm.getId()).setParameter("watermark", watermarkMs)
                .getResultList();
        Map<String, ListedSession> found = newest(session, realm, rows);
        found.values().forEach(listed -> listed.claims().setSubject(null));
        return found;
    }

    /**
     * When the newest login began by which a client was given one of these session ids, whoever's login it is.
     *
     * @return by {@link ListedSession#key}
     */
    public static Map<String, Long> newestLogins(KeycloakSession session, List<String> sids) {
        if (sids.isEmpty()) {
            return Map.of();
        }
        return Jpa.em(session).createQuery("select l.clientUuid, l.sid, max(l.loginBegan) from LedgerRow l"
                + " where l.sid in :sids group by l.clientUuid, l.sid", Object[].class).setParameter("sids", sids)
                .getResultStream().collect(Collectors.toMap(row -> ListedSession.key((String) row[0], (String) row[1]), row -> (Long) row[2]));
    }

    /** Milliseconds. When the newest login of the subject began that the ledger knows, or 0. */
    public static long newestLogin(KeycloakSession session, String realmId, String userId) {
        Long newest = Jpa.em(session).createQuery("select max(l.loginBegan) from LedgerRow l where l.userId = :user"
                + " and l.realmId = :realm", Long.class).setParameter("user", userId).setParameter("realm", realmId)
                .getSingleResult();
        return newest == null ? 0 : newest;
    }

    private static Map<String, ListedSession> newest(KeycloakSession session, RealmModel realm, List<LedgerRow> rows) {
        Map<String, ListedSession> found = new LinkedHashMap<>();
        for (LedgerRow row : rows) {
            ListedSession listed = listed(session, realm, row);
            found.putIfAbsent(listed.key(), listed);
        }
        return found;
    }

    private static ListedSession listed(KeycloakSession session, RealmModel realm, LedgerRow row) {
        ClientModel client = realm.getClientById(row.clientUuid);
        return new ListedSession(row.clientUuid, row.sid, row.alg, RelyingParty.logoutUriOr(session, client, row.logoutUri),
                client != null && RelyingParty.sessionRequired(client), row.offline, Math.floorDiv(row.loginBegan, 1000L),
                row.latestEnd, client != null && TokenEncryption.isWanted(client), Json.read(row.claims, LogoutToken.class));
    }

    /** No algorithm is longer; a client that names one must not make the login fail for it. */
    private static String cut(String alg) {
        return alg.length() > MAX_ALG ? alg.substring(0, MAX_ALG) : alg;
    }

    /** The clients at which the subject has a login newer than the watermark: their tokens must not name the subject. */
    public static List<String> clientsWithNewerLogin(KeycloakSession session, String realmId, String userId, long watermarkMs) {
        return Jpa.em(session).createQuery("select distinct l.clientUuid from LedgerRow l"
                + " where l.userId = :user and l.realmId = :realm and l.loginBegan > :watermark", String.class)
                .setParameter("user", userId).setParameter("realm", realmId)
                .setParameter("watermark", watermarkMs).getResultList();
    }

    /** The relying party has answered a logout for this session: nobody needs to be told of it again. */
    public static void delivered(KeycloakSession session, String realmId, ListedSession ended, long watermarkMs) {
        Jpa.em(session).createQuery("delete from LedgerRow l where l.realmId = :realm and l.clientUuid = :client"
                + " and l.sid = :sid and l.loginBegan <= :watermark").setParameter("realm", realmId)
                .setParameter("client", ended.clientUuid()).setParameter("sid", ended.sid())
                .setParameter("watermark", watermarkMs).executeUpdate();
    }

    /**
     * Forgets sessions that can no longer live anywhere: past their latest end, and gone at Keycloak. A row whose session
     * Keycloak still has is looked at again when its idle time has passed once more.
     */
    public static int prune(KeycloakSession session) {
        long now = Time.currentTime();
        List<LedgerRow> past = Jpa.em(session)
                .createQuery("select l from LedgerRow l where l.latestEnd < :now order by l.latestEnd", LedgerRow.class)
                .setParameter("now", now).setMaxResults(PRUNE_BATCH).getResultList();
        for (LedgerRow row : past) {
            RealmModel realm = session.realms().getRealm(row.realmId);
            boolean lives = realm != null && (SessionStore.of(session).getUserSession(realm, row.sid) != null
                    || SessionStore.of(session).getOfflineUserSession(realm, row.sid) != null);
            if (lives) {
                row.latestEnd = now + Math.max(realm.getSsoSessionIdleTimeout(), realm.getOfflineSessionIdleTimeout());
            } else {
                Jpa.em(session).remove(row);
            }
        }
        return past.size();
    }
}
