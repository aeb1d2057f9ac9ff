package org.logoutrelay.keycloak.ledger;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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
import org.logoutrelay.keycloak.gate.Watermarks;

import jakarta.persistence.TypedQuery;

/**
 * The record of every session that an application was given, kept because Keycloak forgets: an application's cookie
 * outlives Keycloak's session by weeks, and "sign out from other devices" removes the sessions before a listener can see
 * them. Only a relying party's answer ends a row early; what is past goes by {@link LedgerPast}.
 */
public final class Ledger {
    /** Characters of the column. */
    private static final int MAX_ALG = 20;

    private static final String BOTH = "select l, t from LedgerRow l join TemplateRow t on t.id = l.template where ";

    private static final String OF_USER = "l.userKey = :userKey and l.userId = :user";

    private static final String OF_SID = "l.sidKey = :sidKey and l.sid = :sid";

    private Ledger() {
    }

    /** What this client was just given. */
    static LedgerRow row(KeycloakSession session, RealmModel realm, AuthenticatedClientSessionModel clientSession,
            String issuer) {
        ClientModel client = clientSession.getClient();
        UserSessionModel userSession = clientSession.getUserSession();
        LogoutToken claims = RelyingParty.claims(session, userSession.getUser(), clientSession, issuer);
        LedgerRow row = new LedgerRow();
        row.userId = userSession.getUser().getId();
        row.userKey = Ids.key(row.userId);
        row.sid = userSession.getId();
        row.sidKey = Ids.key(row.sid);
        row.sub = row.userId.equals(claims.getSubject()) ? null : claims.getSubject();
        row.givenSid = row.sid.equals(claims.getSid()) ? null : claims.getSid();
        row.loginBegan = Gate.of(session).countsFrom(userSession);
        row.latestEnd = RelyingParty.latestEnd(realm, client, userSession);
        row.template = Templates.idOf(session, template(session, realm, client, userSession, claims));
        return row;
    }

    private static TemplateRow template(KeycloakSession session, RealmModel realm, ClientModel client,
            UserSessionModel userSession, LogoutToken claims) {
        TemplateRow template = new TemplateRow();
        template.realmId = realm.getId();
        template.clientUuid = client.getId();
        template.offline = userSession.isOffline();
        template.alg = cut(RelyingParty.algorithm(realm, client));
        template.encrypted = TokenEncryption.isWanted(client);
        template.logoutUri = RelyingParty.logoutUriOr(session, client, null);
        template.impersonator = userSession.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString());
        template.claims = shared(claims);
        return template;
    }

    /** What of these claims is the same for every login at the client, JSON. */
    static String shared(LogoutToken claims) {
        claims.setSubject(null);
        claims.setSid(null);
        // Of the token that Keycloak has made; each gets its own.
        claims.id(null);
        claims.iat(null);
        claims.exp(null);
        return Json.write(claims);
    }

    /** The claims of this login, from what it has in common with others. */
    static LogoutToken claims(LedgerRow row, TemplateRow template) {
        LogoutToken claims = Json.read(template.claims, LogoutToken.class);
        claims.setSubject(row.sub == null ? row.userId : row.sub);
        claims.setSid(row.givenSid == null ? row.sid : row.givenSid);
        return claims;
    }

    /**
     * The subject's sessions from before the watermark that may still live, by {@link ListedSession#key()}, newest row of
     * each. The logout URL is the client's of today where it has one, else the one of its login.
     */
    public static Map<String, ListedSession> before(KeycloakSession session, RealmModel realm, String userId, long watermarkMs) {
        // Read are as many rows as there are sessions: whoever has one may write any number.
        return newest(session, realm, ofUser(session, BOTH + "l.id in (select max(m.id) from LedgerRow m join TemplateRow n"
                + " on n.id = m.template where m.userKey = :userKey and m.userId = :user and n.realmId = :realm"
                + " and m.loginBegan <= :watermark and m.latestEnd >= :now group by n.clientUuid, m.sid)", Object[].class, userId)
                .setParameter("realm", realm.getId()).setParameter("watermark", watermarkMs)
                .setParameter("now", (long) Time.currentTime()).getResultList());
    }

    /** All that was issued in this one session. */
    public static Map<String, ListedSession> ofSession(KeycloakSession session, RealmModel realm, String userId, String sid) {
        return newest(session, realm, ofSid(session, BOTH + OF_SID + " and l.userId = :user and t.realmId = :realm"
                + " order by l.id desc", Object[].class, sid).setParameter("user", userId).setParameter("realm", realm.getId())
                .getResultList());
    }

    /** Whose session this was, or null. Keycloak does not say so once it is gone. */
    public static String userOf(KeycloakSession session, RealmModel realm, String sid) {
        return ofSid(session, "select l.userId from LedgerRow l join TemplateRow t on t.id = l.template where " + OF_SID
                + " and t.realmId = :realm", String.class, sid).setParameter("realm", realm.getId()).setMaxResults(1)
                .getResultStream().findFirst().orElse(null);
    }

    private static <T> TypedQuery<T> ofUser(KeycloakSession session, String query, Class<T> answer, String userId) {
        return Jpa.em(session).createQuery(query, answer).setParameter("userKey", Ids.key(userId)).setParameter("user", userId);
    }

    private static <T> TypedQuery<T> ofSid(KeycloakSession session, String query, Class<T> answer, String sid) {
        return Jpa.em(session).createQuery(query, answer).setParameter("sidKey", Ids.key(sid)).setParameter("sid", sid);
    }

    /** A session by its realm's id and its own. */
    public record Opened(String realmId, String sid) {
    }

    /** The sessions that the user opened as others, in whichever realm: an administrator may do so in another than their own. */
    public static List<Opened> openedAsOthersAnywhere(KeycloakSession session, String userId, long watermarkMs) {
        List<Integer> opened = templatesOfImpersonator(session, userId);
        return opened.isEmpty() ? List.of() : Jpa.em(session).createQuery("select distinct t.realmId, l.sid from LedgerRow l"
                + " join TemplateRow t on t.id = l.template where l.template in :opened and l.loginBegan <= :watermark",
                Object[].class).setParameter("opened", opened).setParameter("watermark", watermarkMs).getResultStream()
                .map(row -> new Opened((String) row[0], (String) row[1])).toList();
    }

    /** Those of them in this realm. Their tokens must not name those others: it would end all they have. */
    public static Map<String, ListedSession> openedAsOthers(KeycloakSession session, RealmModel realm, String userId, long watermarkMs) {
        List<Integer> opened = templatesOfImpersonator(session, userId);
        Map<String, ListedSession> found = opened.isEmpty() ? Map.of() : newest(session, realm, Jpa.em(session)
                .createQuery(BOTH + "l.template in :opened and t.realmId = :realm and l.loginBegan <= :watermark"
                        + " order by l.id desc", Object[].class).setParameter("opened", opened)
                .setParameter("realm", realm.getId()).setParameter("watermark", watermarkMs).getResultList());
        found.values().forEach(listed -> listed.claims().setSubject(null));
        return found;
    }

    /** Asked by itself: of a join no database knows that it is of a few rows among millions. */
    private static List<Integer> templatesOfImpersonator(KeycloakSession session, String userId) {
        return Jpa.em(session).createQuery("select t.id from TemplateRow t where t.impersonator = :user", Integer.class)
                .setParameter("user", userId).getResultList();
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
        return Jpa.em(session).createQuery("select t.clientUuid, l.sid, max(l.loginBegan) from LedgerRow l"
                + " join TemplateRow t on t.id = l.template where l.sidKey in :sidKeys and l.sid in :sids"
                + " group by t.clientUuid, l.sid", Object[].class)
                .setParameter("sidKeys", sids.stream().map(Ids::key).toList()).setParameter("sids", sids)
                .getResultStream().collect(Collectors.toMap(row -> ListedSession.key((String) row[0], (String) row[1]), row -> (Long) row[2]));
    }

    /** Milliseconds. When the newest login of the subject began that the ledger knows, or 0. */
    public static long newestLogin(KeycloakSession session, String realmId, String userId) {
        // Of one row, and not of as many as whoever logs in often has written.
        return ofUser(session, "select l.loginBegan from LedgerRow l join TemplateRow t on t.id = l.template where " + OF_USER
                + " and t.realmId = :realm order by l.loginBegan desc", Long.class, userId).setParameter("realm", realmId)
                .setMaxResults(1).getResultStream().findFirst().orElse(0L);
    }

    /** Those of these users who have a session that no event has ended yet, as an application or Keycloak has it. */
    public static Set<String> withSessions(KeycloakSession session, String realmId, List<String> userIds) {
        if (userIds.isEmpty()) {
            return Set.of();
        }
        Set<String> found = new HashSet<>(Jpa.em(session).createQuery("select distinct o.userId from LedgerRow o where o.userKey in"
                + " (:keys) and o.userId in (:users) and o.latestEnd >= :now and o.template in (select t.id from TemplateRow t"
                + " where t.realmId = :realm) and "
                + Watermarks.noneHasEnded("o.userId", "w.watermarkMs >= o.loginBegan"), String.class)
                .setParameter("keys", userIds.stream().map(Ids::key).toList()).setParameter("users", userIds)
                .setParameter("now", (long) Time.currentTime()).setParameter("realm", realmId).getResultList());
        found.addAll(Jpa.em(session).createQuery("select distinct o.userId from PersistentUserSessionEntity o where o.realmId = :realm"
                // Whole seconds, which as milliseconds would not fit into the column's type.
                + " and o.userId in (:users) and " + Watermarks.noneHasEnded("o.userId", "w.watermarkMs / 1000 >= o.createdOn"), String.class)
                .setParameter("users", userIds).setParameter("realm", realmId).getResultList());
        return found;
    }

    /** Whether the user has a session at that client which it may still have. */
    public static boolean hasBeenAt(KeycloakSession session, String realmId, String userId, String clientUuid) {
        return ofUser(session, "select count(l) from LedgerRow l join TemplateRow t on t.id = l.template where " + OF_USER
                + " and t.realmId = :realm and t.clientUuid = :client and l.latestEnd >= :now", Long.class, userId)
                .setParameter("realm", realmId).setParameter("client", clientUuid).setParameter("now", (long) Time.currentTime())
                .getSingleResult() > 0;
    }

    /** Users of a directory whom Keycloak does not import are in no table of users. Reads the whole ledger. */
    public static Stream<String> usersLike(KeycloakSession session, String realmId, String pattern) {
        return Stream.of("LedgerRow o where o.template in (select t.id from TemplateRow t where t.realmId = :realm)",
                "PersistentUserSessionEntity o where o.realmId = :realm").flatMap(rows -> Jpa.em(session)
                .createQuery("select distinct o.userId from " + rows + " and o.userId like :pattern", String.class)
                .setParameter("realm", realmId).setParameter("pattern", pattern).getResultStream()).distinct();
    }

    /** @param rows pairs of {@link LedgerRow} and {@link TemplateRow}, the newest first */
    private static Map<String, ListedSession> newest(KeycloakSession session, RealmModel realm, List<Object[]> rows) {
        Map<String, ListedSession> found = new LinkedHashMap<>();
        for (Object[] row : rows) {
            ListedSession listed = listed(session, realm, (LedgerRow) row[0], (TemplateRow) row[1]);
            found.putIfAbsent(listed.key(), listed);
        }
        return found;
    }

    private static ListedSession listed(KeycloakSession session, RealmModel realm, LedgerRow row, TemplateRow template) {
        ClientModel client = realm.getClientById(template.clientUuid);
        return new ListedSession(template.clientUuid, row.sid, template.alg,
                RelyingParty.logoutUriOr(session, client, template.logoutUri),
                client != null && RelyingParty.sessionRequired(client), template.offline,
                Math.floorDiv(row.loginBegan, 1000L), row.latestEnd, client == null ? template.encrypted : TokenEncryption.isWanted(client),
                claims(row, template));
    }

    /** No algorithm is longer; a client that names one must not make the login fail for it. */
    private static String cut(String alg) {
        return alg.length() > MAX_ALG ? alg.substring(0, MAX_ALG) : alg;
    }

    /** The clients at which the subject has a login newer than the watermark: their tokens must not name the subject. */
    public static List<String> clientsWithNewerLogin(KeycloakSession session, String realmId, String userId, long watermarkMs) {
        return ofUser(session, "select distinct t.clientUuid from LedgerRow l join TemplateRow t on t.id = l.template where "
                + OF_USER + " and t.realmId = :realm and l.loginBegan > :watermark", String.class, userId)
                .setParameter("realm", realmId).setParameter("watermark", watermarkMs).getResultList();
    }

    /** The relying party has answered a logout for this session: nobody needs to be told of it again. */
    public static void delivered(KeycloakSession session, String realmId, ListedSession ended, long watermarkMs) {
        Jpa.em(session).createQuery("delete from LedgerRow l where " + OF_SID + " and l.loginBegan <= :watermark"
                + " and l.template in (select t.id from TemplateRow t where t.realmId = :realm and t.clientUuid = :client)")
                .setParameter("sidKey", Ids.key(ended.sid())).setParameter("sid", ended.sid())
                .setParameter("watermark", watermarkMs).setParameter("realm", realmId)
                .setParameter("client", ended.clientUuid()).executeUpdate();
    }
}
