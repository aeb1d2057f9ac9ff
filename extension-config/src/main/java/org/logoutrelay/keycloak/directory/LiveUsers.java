package org.logoutrelay.keycloak.directory;

import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.LDAPConstants;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Watermarks;

/** The users of directories who have something that could be ended, as our tables and Keycloak's have them. */
final class LiveUsers {
    /** Before any id. Not empty: some databases take an empty text for none. */
    static final String FROM_THE_FIRST = " ";

    /** Of a user who is not imported: {@code f:<provider>:<user name>}. */
    private static final String DIRECT = "f:";

    private static final String LIVE = "l.latestEnd >= :nowSeconds and l.template in (select t.id from TemplateRow t where t.realmId = :realm)";

    private static final String NOT_ENDED = Watermarks.noneHasEnded("l.userId", "w.watermarkMs >= l.loginBegan");

    private static final long KEEP_OWN_MS = 7L * 24 * 60 * 60 * 1000;

    private LiveUsers() {
    }

    /** Those of this directory, also whom Keycloak has dropped meanwhile; after the last, in the order of {@link Ids#key}. */
    static List<String> after(KeycloakSession session, Provider provider, String reached, int max) {
        boolean first = reached.equals(FROM_THE_FIRST);
        return Jpa.em(session).createQuery("select l.userId from LedgerRow l where " + LIVE + " and l.userKey >= :key"
                + " and (l.userKey > :key or l.userId > :reached) and (l.userId like :direct"
                + " or exists (select 1 from UserEntity u where u.id = l.userId and u.federationLink = :provider)"
                + " or exists (select 1 from SeenRow s where s.userId = l.userId and s.providerId = :provider))"
                + " group by l.userKey, l.userId order by l.userKey, l.userId", String.class)
                .setParameter("nowSeconds", (long) Time.currentTime()).setParameter("realm", provider.realmId())
                .setParameter("key", first ? Long.MIN_VALUE : Ids.key(reached)).setParameter("reached", reached)
                .setParameter("direct", DIRECT + provider.id() + ":%").setParameter("provider", provider.id())
                .setMaxResults(max).getResultList();
    }

    /** By what the directory knows these users, by their ids; one whom Keycloak does not have any more has nothing. */
    static Map<String, String> inDirectory(KeycloakSession session, Collection<String> users) {
        Map<String, String> known = new LinkedHashMap<>();
        users.stream().filter(LiveUsers::isDirect).forEach(id -> known.put(id, id.substring(id.indexOf(':', DIRECT.length()) + 1)));
        List<String> imported = users.stream().filter(id -> !isDirect(id)).toList();
        if (!imported.isEmpty()) {
            Jpa.em(session).createQuery("select a.user.id, a.value from UserAttributeEntity a where a.user.id in :ids and a.name = :name",
                    Object[].class).setParameter("ids", imported).setParameter("name", LDAPConstants.LDAP_ID).getResultStream()
                    .filter(row -> row[1] != null).forEach(row -> known.put((String) row[0], (String) row[1]));
        }
        return known;
    }

    /** Of these users those who are a directory's, by its provider. */
    static Map<String, Set<String>> byProvider(KeycloakSession session, Collection<String> users) {
        Map<String, Set<String>> found = new TreeMap<>();
        users.stream().filter(LiveUsers::isDirect).forEach(id -> found.computeIfAbsent(
                id.substring(DIRECT.length(), Math.max(id.indexOf(':', DIRECT.length()), DIRECT.length())), key -> new HashSet<>()).add(id));
        List<String> others = users.stream().filter(id -> !isDirect(id)).toList();
        if (!others.isEmpty()) {
            Jpa.em(session).createQuery("select u.federationLink, u.id from UserEntity u where u.id in :ids and u.federationLink is not null",
                    Object[].class).setParameter("ids", others).getResultStream()
                    .forEach(row -> found.computeIfAbsent((String) row[0], key -> new HashSet<>()).add((String) row[1]));
        }
        return found;
    }

    static boolean isDirect(String userId) {
        return userId.startsWith(DIRECT);
    }

    static Map<String, SeenRow> seen(KeycloakSession session, Collection<String> users) {
        return users.isEmpty() ? Map.of() : Jpa.em(session).createQuery("select s from SeenRow s where s.userId in :ids", SeenRow.class)
                .setParameter("ids", users).getResultStream().collect(Collectors.toMap(row -> row.userId, row -> row));
    }

    /** When Keycloak has itself set the password of these users last, where no look has seen it yet. */
    static Map<String, Long> ownChanges(KeycloakSession session, Collection<String> users) {
        return users.isEmpty() ? Map.of() : Jpa.em(session).createQuery("select o.userId, max(o.atMs) from OwnChangeRow o"
                + " where o.userId in :ids group by o.userId", Object[].class).setParameter("ids", users).getResultStream()
                .collect(Collectors.toMap(row -> (String) row[0], row -> (Long) row[1]));
    }

    static OptionalLong ownChange(Map<String, Long> ownChanges, String user) {
        Long at = ownChanges.get(user);
        return at == null ? OptionalLong.empty() : OptionalLong.of(at);
    }

    static void forgetOwnChanges(KeycloakSession session, Collection<String> users, long untilMs) {
        if (!users.isEmpty()) {
            Jpa.em(session).createQuery("delete from OwnChangeRow o where o.userId in :ids and o.atMs <= :until")
                    .setParameter("ids", users).setParameter("until", untilMs).executeUpdate();
        }
    }

    /** Whether a client was given something that may live, by a login from before, and that no event has ended. */
    static boolean hasFromBefore(KeycloakSession session, Provider provider, String userId, long watermarkMs) {
        return !Jpa.em(session).createQuery("select l.id from LedgerRow l where l.userKey = :key and l.userId = :user"
                + " and l.loginBegan <= :watermark and " + LIVE + " and " + NOT_ENDED, Long.class)
                .setParameter("key", Ids.key(userId)).setParameter("user", userId).setParameter("watermark", watermarkMs)
                .setParameter("nowSeconds", (long) Time.currentTime()).setParameter("realm", provider.realmId())
                .setMaxResults(1).getResultList().isEmpty();
    }

    /** Of these users those who have been given something since the last look by a login that was old by then. */
    static Set<String> late(KeycloakSession session, Provider provider, Collection<String> users) {
        return users.isEmpty() ? Set.of() : Set.copyOf(Jpa.em(session).createQuery("select distinct s.userId from SeenRow s"
                + " join LedgerRow l on l.userKey = s.userKey and l.userId = s.userId where s.userId in :ids"
                + " and l.loginBegan <= s.oldUntilMs and " + LIVE + " and " + NOT_ENDED, String.class).setParameter("ids", users)
                .setParameter("nowSeconds", (long) Time.currentTime()).setParameter("realm", provider.realmId())
                .getResultList());
    }

    /** Forgets those who have nothing left that could be ended, and what is of no directory any more. */
    static int prune(KeycloakSession session) {
        int gone = Jpa.em(session).createQuery("delete from SeenRow s where not exists (select 1 from LedgerRow l"
                + " where l.userKey = s.userKey and l.userId = s.userId)").executeUpdate();
        gone += Jpa.em(session).createQuery("delete from OwnChangeRow o where o.atMs < :old")
                .setParameter("old", DbClock.now(session) - KEEP_OWN_MS).executeUpdate();
        for (String rows : List.of("SeenRow", "DirectoryRow")) {
            gone += Jpa.em(session).createQuery("delete from " + rows + " r where not exists"
                    + " (select 1 from ComponentEntity c where c.id = r.providerId)").executeUpdate();
        }
        return gone;
    }
}
