package org.logoutrelay.keycloak.upstream;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

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
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.containment.Containment;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.trigger.IdentityProviders;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;

/**
 * What an identity provider has said of its users contains those who are linked to them, once, as of when it happened there.
 * Many within a while wait for a person's word, as many changes of a directory do.
 */
public final class Upstreams {
    private static final Logger LOG = Logger.getLogger(Upstreams.class);

    /** Words of those that were confirmed, for each sweep, which comes every five seconds. */
    private static final int PACE = 100;

    /** @param sub what the identity provider calls a user, or null where the address says it */
    public record Subject(String sub, String email) {
    }

    /**
     * @param type its URI
     * @param credential CAEP's {@code credential_type}, or null
     * @param direction CAEP's {@code change_direction}, or null
     * @param status CAEP's {@code current_status}, or null
     */
    public record Event(String type, String credential, String direction, String status) {
    }

    /**
     * @param issuer of the identity provider, as the realm has it; or of a realm behind this one
     * @param client by which that realm takes its logins from this one, by client id; null for an identity provider
     * @param subjects whom it is about: names of one user as a rule
     * @param atMs when it happened there; null for now
     * @param id what the source calls this message and no other
     * @param txn what it calls the event
     */
    public record Word(String issuer, String client, List<Subject> subjects, Event event, Long atMs, String id, String txn) {
    }

    private Upstreams() {
    }

    /**
     * What becomes of it, by user: how many are {@code contained}, {@code held} and {@code known} already; all 0 where it names
     * nobody, means nothing here or is off by policy. Committed with the request, which fails where that cannot be.
     */
    public static Map<String, Integer> hear(KeycloakSession session, RealmModel realm, Word word, AllOrNothing.Committed afterCommit) {
        Map<String, Integer> done = new LinkedHashMap<>(Map.of("contained", 0, "held", 0, "known", 0));
        Policy policy = Policy.of(session, realm);
        Trigger trigger = (word.client() == null ? Said.trigger(word.event()) : Said.triggerOfDownstream(word.event())).orElse(null);
        List<UserModel> users = trigger == null ? List.of() : word.client() == null ? linked(session, realm, policy, trigger, word)
                : policy.acts(trigger) ? Behind.users(session, realm, policy, word) : List.of();
        if (users.isEmpty()) {
            return done;
        }
        SourceRow source = locked(session, realm, word);
        long now = DbClock.measure(session.getKeycloakSessionFactory());
        for (UserModel user : users) {
            WordRow row = row(source, user, trigger, word, now);
            String outcome = word.client() != null && Behind.isKnown(session, row, realm.getId(), policy.steps(trigger).orElse(Set.of()))
                    ? "known"
                    : Words.judge(session, source, row, policy.upstreamLimit(), policy.upstreamWindowMs());
            done.merge(outcome, 1, Integer::sum);
            if (outcome.equals("contained")) {
                contain(session, realm, match(source, row, isPast(word.atMs(), now)), user, afterCommit);
            }
        }
        return done;
    }

    private static List<UserModel> linked(KeycloakSession session, RealmModel realm, Policy policy, Trigger trigger, Word word) {
        List<String> aliases = IdentityProviders.aliases(session, word.issuer());
        return aliases.stream().noneMatch(alias -> policy.steps(trigger, List.of(alias)).isPresent()) ? List.of()
                : Linked.users(session, realm, aliases, word.subjects()).stream()
                        .filter(user -> policy.steps(trigger, IdentityProviders.linked(session, realm, user, aliases)).isPresent()).toList();
    }

    /** Else it is now, and what is recorded already has begun before it, whatever a clock says. */
    static boolean isPast(Long atMs, long nowMs) {
        return atMs != null && atMs < nowMs;
    }

    static Trigger.Match match(SourceRow source, WordRow row, boolean isPast) {
        return new Trigger.Match(Trigger.byId(row.triggerId), row.userId, null, null, null,
                new Trigger.Upstream(source.iss, row.upstreamTxn), isPast ? row.atMs : null);
    }

    /** Never later than now: nothing that begins from here on may be ended, whatever the other clock says. */
    static long watermarkMs(Long atMs, long nowMs) {
        return DbClock.endOfSecond(atMs == null ? nowMs : Math.min(atMs, nowMs));
    }

    private static WordRow row(SourceRow source, UserModel user, Trigger trigger, Word word, long nowMs) {
        WordRow row = new WordRow();
        row.id = Ids.hash(source.id + " " + Ids.hash(word.id()) + " " + user.getId());
        row.sourceId = source.id;
        row.userId = user.getId();
        row.triggerId = trigger.id();
        row.upstreamTxn = word.txn();
        row.atMs = watermarkMs(word.atMs(), nowMs);
        row.heardMs = nowMs;
        return row;
    }

    private static void contain(KeycloakSession session, RealmModel realm, Trigger.Match match, UserModel user,
            AllOrNothing.Committed afterCommit) {
        AllOrNothing.of(session, afterCommit).run(() -> Containment.begin(session, realm, user, match, Issuers.of(session, realm), null,
                Containment.Fate.STAYS));
    }

    private static SourceRow locked(KeycloakSession session, RealmModel realm, Word word) {
        String id = sourceId(realm.getId(), word);
        // Not read before it is locked: what somebody decides meanwhile must be seen.
        SourceRow known = Jpa.em(session).find(SourceRow.class, id, LockModeType.PESSIMISTIC_WRITE);
        if (known == null) {
            make(session.getKeycloakSessionFactory(), id, realm.getId(), word.issuer());
            known = Jpa.em(session).find(SourceRow.class, id, LockModeType.PESSIMISTIC_WRITE);
        }
        known.iss = word.issuer();
        return known;
    }

    /**
     * Whose limit it counts towards. By what the realm knows: nothing here says which issuer a realm behind this one has, so a
     * relay that is stolen could give each word another.
     */
    static String sourceId(String realmId, Word word) {
        return Ids.hash(word.client() == null ? realmId + " " + word.issuer() : "client " + realmId + " " + word.client());
    }

    /** In a transaction of its own: another node may make it in the same moment. */
    private static void make(KeycloakSessionFactory factory, String id, String realmId, String issuer) {
        try {
            KeycloakModelUtils.runJobInTransaction(factory, session -> {
                SourceRow row = new SourceRow();
                row.id = id;
                row.realmId = realmId;
                row.iss = issuer;
                Jpa.em(session).persist(row);
            });
        } catch (RuntimeException e) {
            LOG.debug("Another node has heard an identity provider for the first time in the same moment", e);
        }
    }

    /** A person's word about what is held. @return how it is now, or empty where nothing is */
    public static Optional<Map<String, Object>> decide(KeycloakSession session, RealmModel realm, String id, Decision decision) {
        SourceRow row = id == null ? null : Jpa.em(session).find(SourceRow.class, id, LockModeType.PESSIMISTIC_WRITE);
        if (row == null || !row.realmId.equals(realm.getId()) || Words.held(session, row) == 0) {
            return Optional.empty();
        }
        Words.decide(session, row, decision.confirmed());
        row.decidedBy = decision.by();
        row.decision = decision.word();
        row.decidedMs = DbClock.now(session);
        row.decidedReason = decision.reason();
        return Optional.of(shown(session, row));
    }

    /** Those that have named somebody here. */
    public static List<Map<String, Object>> list(KeycloakSession session, RealmModel realm) {
        return Jpa.em(session).createQuery("select s from SourceRow s where s.realmId = :realm order by s.iss", SourceRow.class)
                .setParameter("realm", realm.getId()).getResultStream().map(row -> shown(session, row)).toList();
    }

    private static Map<String, Object> shown(KeycloakSession session, SourceRow row) {
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("id", row.id);
        shown.put("issuer", row.iss);
        shown.put("held", Words.held(session, row));
        if (row.decision != null) {
            shown.put("decision", row.decision);
            shown.put("decided_by", row.decidedBy);
            shown.put("decided_ms", row.decidedMs);
            shown.put("decided_reason", row.decidedReason);
        }
        return shown;
    }

    /** The next of those that somebody has confirmed, each in a transaction of its own and by one node. */
    public static void goOn(KeycloakSessionFactory factory, AllOrNothing.Committed afterCommit) {
        List<String> next = KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> Jpa.em(session)
                .createQuery("select w.id from WordRow w where w.state = :state order by w.heardMs", String.class)
                .setParameter("state", WordRow.CONFIRMED).setMaxResults(PACE).getResultList());
        for (String id : next) {
            try {
                KeycloakModelUtils.runJobInTransaction(factory, session -> goOn(session, id, afterCommit));
            } catch (RuntimeException e) {
                LOG.error("A user whom an identity provider has named, and somebody has confirmed, could not be contained; it is tried again", e);
            }
        }
    }

    private static void goOn(KeycloakSession session, String id, AllOrNothing.Committed afterCommit) {
        EntityManager em = Jpa.em(session);
        WordRow row = em.find(WordRow.class, id, LockModeType.PESSIMISTIC_WRITE);
        if (row == null || !row.state.equals(WordRow.CONFIRMED)) {
            return;
        }
        SourceRow source = em.find(SourceRow.class, row.sourceId);
        RealmModel realm = session.realms().getRealm(source.realmId);
        row.state = WordRow.DONE;
        if (realm != null) {
            session.getContext().setRealm(realm);
            UserModel user = session.users().getUserById(realm, row.userId);
            if (user != null) {
                contain(session, realm, match(source, row, true), user, afterCommit);
            }
        }
    }

    /** What is older than a message that comes again can be. What is held waits. */
    public static int prune(KeycloakSession session) {
        EntityManager em = Jpa.em(session);
        int gone = em.createQuery("delete from WordRow w where w.heardMs < :old and w.state in (:done, :dismissed)")
                .setParameter("old", Time.currentTimeMillis() - Outbox.KEEP_MS).setParameter("done", WordRow.DONE)
                .setParameter("dismissed", WordRow.DISMISSED).executeUpdate();
        String ofNoRealm = "not exists (select 1 from RealmEntity e where e.id = s.realmId)";
        gone += em.createQuery("delete from WordRow w where w.sourceId in (select s.id from SourceRow s where " + ofNoRealm + ")").executeUpdate();
        return gone + em.createQuery("delete from SourceRow s where " + ofNoRealm).executeUpdate();
    }
}
