package org.logoutrelay.keycloak.containment;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Decision;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

import jakarta.persistence.LockModeType;

/**
 * An administrator signs everybody out of the realm. Keycloak removes its online sessions and tells no application; here
 * every subject is contained, one transaction for each, so many at a time that Keycloak can go on serving. Unless the
 * realm's policy says otherwise it waits for a person's word: one click must not log everybody out of everything.
 */
public final class RealmLogout {
    private static final Logger LOG = Logger.getLogger(RealmLogout.class);

    static final String HELD = "held";
    private static final String UNDER_WAY = "under_way";
    private static final String DONE = "done";
    private static final String DISMISSED = "dismissed";

    /** Before any id. Not empty: some databases take an empty text for none. */
    static final String FROM_THE_FIRST = " ";

    /** Subjects for each sweep, which comes every five seconds. */
    private static final int PACE = 100;
    private static final long LEASE_MS = 60_000;
    private static final long KEEP_MS = 30L * 24 * 60 * 60 * 1000;

    private static final String LEFT = "from LedgerRow l where l.loginBegan <= :at"
            + " and l.template in (select t.id from TemplateRow t where t.realmId = :realm) and not exists"
            + " (select 1 from WatermarkRow w where w.userId = l.userId and w.realmId = :realm and w.watermarkMs >= :at)"
            // In shadow mode there is no watermark, and the row is all that says that the subject has had its turn.
            + " and not exists (select 1 from OutboxRow o where o.event.userId = l.userId and o.event.realmId = :realm"
            + " and o.watermarkMs = :at and o.event.shadow = true)";

    private RealmLogout() {
    }

    public static AllOrNothing.Recording seen(KeycloakSession session, RealmModel realm, String issuer) {
        Policy policy = Policy.of(session, realm);
        if (policy.steps(Trigger.REALM_LOGOUT).isEmpty()) {
            return AllOrNothing.Recording.NOTHING;
        }
        long now = DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory()));
        return () -> {
            RealmLogoutRow row = new RealmLogoutRow();
            row.id = Ids.next();
            row.realmId = realm.getId();
            row.iss = issuer;
            row.atMs = now;
            row.state = HELD;
            row.reached = FROM_THE_FIRST;
            Jpa.em(session).persist(row);
            if (policy.asks(Trigger.REALM_LOGOUT)) {
                LOG.warnf("Everybody was signed out of realm %s. The sessions of the applications live on until somebody says "
                        + "so: logout-relay held confirm %s --reason ...", realm.getName(), row.id);
            } else {
                begin(session, realm, row);
            }
            return null;
        };
    }

    private static void begin(KeycloakSession session, RealmModel realm, RealmLogoutRow row) {
        row.state = UNDER_WAY;
        if (!Policy.of(session, realm).isShadow()) {
            // At once for everybody: a login that is under way now must not get a session while the subjects are gone through.
            Jpa.em(session).persist(Watermarks.row(realm.getId(), Watermarks.EVERYBODY, null, row.atMs, row.id, Set.of()));
        }
    }

    /** A person's word about one that is held. @return it as it is now, or empty for an id that is not held here */
    public static Optional<Map<String, Object>> decide(KeycloakSession session, RealmModel realm, String id, Decision decision) {
        return Optional.ofNullable(id)
                // Locked: of two who decide at once the second finds it decided.
                .map(known -> Jpa.em(session).find(RealmLogoutRow.class, known, LockModeType.PESSIMISTIC_WRITE))
                .filter(row -> row.realmId.equals(realm.getId()) && row.state.equals(HELD)).map(row -> {
                    row.decidedBy = decision.by();
                    row.decidedMs = DbClock.now(session);
                    row.decidedReason = decision.reason();
                    if (decision.confirmed()) {
                        begin(session, realm, row);
                    } else {
                        row.state = DISMISSED;
                    }
                    return counted(session, row);
                });
    }

    public static List<Map<String, Object>> list(KeycloakSession session, RealmModel realm) {
        return rows(session, realm).map(row -> counted(session, row)).toList();
    }

    /** The same without how many are left, for which the ledger has to be gone through. */
    public static List<Map<String, Object>> decisions(KeycloakSession session, RealmModel realm) {
        return rows(session, realm).map(RealmLogout::shown).toList();
    }

    private static Stream<RealmLogoutRow> rows(KeycloakSession session, RealmModel realm) {
        return Jpa.em(session).createQuery("select r from RealmLogoutRow r where r.realmId = :realm order by r.atMs desc",
                RealmLogoutRow.class).setParameter("realm", realm.getId()).getResultStream();
    }

    private static Map<String, Object> shown(RealmLogoutRow row) {
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("id", row.id);
        shown.put("at_ms", row.atMs);
        shown.put("state", row.state);
        Optional.ofNullable(row.decidedBy).ifPresent(by -> shown.put("decided_by", by));
        Optional.ofNullable(row.decidedMs).ifPresent(ms -> shown.put("decided_ms", ms));
        Optional.ofNullable(row.decidedReason).ifPresent(reason -> shown.put("decided_reason", reason));
        return shown;
    }

    private static Map<String, Object> counted(KeycloakSession session, RealmLogoutRow row) {
        Map<String, Object> shown = shown(row);
        shown.put("contained", row.contained);
        shown.put("left", row.state.equals(HELD) || row.state.equals(UNDER_WAY) ? subjectsLeft(session, row) : 0);
        return shown;
    }

    /** The next subjects of every one that is under way. */
    public static void goOn(KeycloakSessionFactory factory, AllOrNothing.Committed afterCommit) {
        for (String id : KeycloakModelUtils.<List<String>>runJobInTransactionWithResult(factory, RealmLogout::leased)) {
            RealmLogoutRow row = KeycloakModelUtils.runJobInTransactionWithResult(factory,
                    session -> Jpa.em(session).find(RealmLogoutRow.class, id));
            List<String> subjects = KeycloakModelUtils.runJobInTransactionWithResult(factory,
                    session -> subjectsAfter(session, row, PACE));
            for (String subject : subjects) {
                try {
                    KeycloakModelUtils.runJobInTransaction(factory, session -> contain(session, row, subject, afterCommit));
                    row.contained++;
                } catch (RuntimeException e) {
                    LOG.errorf(e, "A subject could not be contained after everybody was signed out; it is tried again");
                    row.failed++;
                }
                row.reached = subject;
            }
            if (subjects.size() < PACE) {
                row.state = row.failed == 0 ? DONE : UNDER_WAY;
                row.failed = 0;
                row.reached = FROM_THE_FIRST;
            }
            row.leaseMs = 0;
            KeycloakModelUtils.runJobInTransaction(factory, session -> Jpa.em(session).merge(row));
        }
    }

    /** Who has sessions from before everybody was signed out, and has not been contained since; after the last, as {@link Ids#key} has them. */
    static List<String> subjectsAfter(KeycloakSession session, RealmLogoutRow event, int max) {
        boolean first = event.reached.equals(FROM_THE_FIRST);
        return Jpa.em(session).createQuery("select l.userId " + LEFT + " and l.userKey >= :key"
                + " and (l.userKey > :key or l.userId > :reached) group by l.userKey, l.userId order by l.userKey, l.userId",
                String.class).setParameter("realm", event.realmId).setParameter("at", event.atMs)
                .setParameter("key", first ? Long.MIN_VALUE : Ids.key(event.reached)).setParameter("reached", event.reached)
                .setMaxResults(max).getResultList();
    }

    static long subjectsLeft(KeycloakSession session, RealmLogoutRow event) {
        return Jpa.em(session).createQuery("select count(distinct l.userId) " + LEFT, Long.class)
                .setParameter("realm", event.realmId).setParameter("at", event.atMs).getSingleResult();
    }

    private static List<String> leased(KeycloakSession session) {
        long now = Time.currentTimeMillis();
        return Jpa.em(session).createQuery("select r.id from RealmLogoutRow r where r.state = :state and r.leaseMs < :now",
                String.class).setParameter("state", UNDER_WAY).setParameter("now", now).getResultList().stream()
                .filter(id -> Jpa.em(session).createQuery("update RealmLogoutRow r set r.leaseMs = :until where r.id = :id"
                        + " and r.leaseMs < :now").setParameter("until", now + LEASE_MS).setParameter("id", id)
                        .setParameter("now", now).executeUpdate() == 1).toList();
    }

    private static void contain(KeycloakSession session, RealmLogoutRow row, String subject,
            AllOrNothing.Committed afterCommit) {
        RealmModel realm = session.realms().getRealm(row.realmId);
        session.getContext().setRealm(realm);
        UserModel user = realm == null ? null : session.users().getUserById(realm, subject);
        if (user != null) {
            AllOrNothing.of(session, afterCommit).run(() -> Containment.begin(session, realm, user,
                    new Trigger.Match(Trigger.REALM_LOGOUT, subject, row.atMs), row.iss, null, Containment.Fate.STAYS));
        }
    }

    public static int prune(KeycloakSession session) {
        return Jpa.em(session).createQuery("delete from RealmLogoutRow r where r.atMs < :old and r.state <> :state")
                .setParameter("old", Time.currentTimeMillis() - KEEP_MS).setParameter("state", UNDER_WAY).executeUpdate();
    }
}
