package org.logoutrelay.keycloak.directory;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import org.jboss.logging.Logger;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.KeycloakSessionTaskWithResult;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.storage.adapter.InMemoryUserAdapter;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.containment.Containment;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

import jakarta.persistence.LockModeType;

/** Looks at the users of one directory, and contains those in whom something has changed. */
final class Sweep {
    private static final Logger LOG = Logger.getLogger(Sweep.class);

    static final String WATCHED = "watched";
    static final String HELD = "held";
    static final String CONFIRMED = "confirmed";
    static final String DISMISSED = "dismissed";

    /** Users of one transaction, and of one sweep: the rest has its turn at the next. */
    private static final int PAGE = 1_000;
    private static final int PAGES = 20;
    /** Longer than a page takes with a directory that is as slow as can be waited for, or nearly. */
    private static final long LEASE_MS = 15_000;

    private final KeycloakSessionFactory factory;
    private final AllOrNothing.Committed afterCommit;
    private final Provider provider;
    private final long everyMs;
    private final Ahead ahead = new Ahead();

    Sweep(KeycloakSessionFactory factory, AllOrNothing.Committed afterCommit, Provider provider, Duration every) {
        this.factory = factory;
        this.afterCommit = afterCommit;
        this.provider = provider;
        this.everyMs = every.toMillis();
    }

    /** Where it is due, and no other node is at it. @return whom to look at again soon */
    Set<String> run() {
        DirectoryRow row = inTransaction(this::leased);
        if (row == null) {
            return Set.of();
        }
        Look look = new Look(factory, provider, ahead);
        String reached = row.reached;
        try {
            boolean whole = false;
            for (int page = 0; page < PAGES && !whole; page++) {
                String from = reached;
                List<String> users = inTransaction(session -> LiveUsers.after(session, provider, from, PAGE));
                look.at(users);
                whole = users.size() < PAGE;
                reached = whole ? LiveUsers.FROM_THE_FIRST : users.get(users.size() - 1);
                inTransaction(this::renewed);
            }
            String state = answer(row, look);
            finish(row, look, reached, whole ? state : row.state.equals(WATCHED) ? state : row.state, whole);
        } catch (RuntimeException e) {
            failed(e);
        }
        return look.again;
    }

    /** Of those who have just logged in, whatever is due. @return whom to look at again soon */
    Set<String> lookAt(Set<String> users) {
        DirectoryRow row = inTransaction(session -> Jpa.em(session).find(DirectoryRow.class, provider.id()));
        if (row == null || !row.state.equals(WATCHED)) {
            return Set.of();
        }
        Look look = new Look(factory, provider, ahead);
        look.at(users);
        Policy policy = policy();
        List<Look.Found> fromBefore = fromBefore(look);
        List<Look.Found> ending = ending(fromBefore, policy);
        // Else the sweep finds them, and holds them.
        if (ending.size() <= policy.directoryLimit()) {
            act(look.changes, fromBefore, ending);
        }
        return look.again;
    }

    /** @return how it stands from now on */
    private String answer(DirectoryRow row, Look look) {
        Policy policy = policy();
        long limit = policy.directoryLimit();
        List<Look.Found> fromBefore = fromBefore(look);
        List<Look.Found> ending = ending(fromBefore, policy);
        if (row.state.equals(WATCHED) && ending.size() > limit || row.state.equals(HELD) && !ending.isEmpty()) {
            if (row.state.equals(WATCHED)) {
                LOG.warnf("%d users of directory %s have changed at once, and the realm's limit is %d: nothing is ended until"
                        + " somebody says so: logout-relay held confirm %s --reason ...",
                        (Integer) ending.size(), provider.id(), (Long) limit, provider.id());
            }
            row.held = ending.size();
            return HELD;
        }
        act(look.changes, fromBefore, !row.state.equals(DISMISSED) ? ending
                : ending.stream().filter(found -> found.change().earliestMs() > row.heldMs).toList());
        row.held = 0;
        return WATCHED;
    }

    private Policy policy() {
        return inTransaction(session -> Policy.of(session, session.realms().getRealm(provider.realmId())));
    }

    /** Who is to be contained: a change that policy lets be must not make others wait for a person's word. */
    private static List<Look.Found> ending(List<Look.Found> fromBefore, Policy policy) {
        return fromBefore.stream().filter(found -> policy.acts(found.change().trigger())).toList();
    }

    private List<Look.Found> fromBefore(Look look) {
        return inTransaction(session -> look.changes.stream().filter(found -> LiveUsers.hasFromBefore(session, provider,
                found.userId(), found.change().watermarkMs())).toList());
    }

    /** @param fromBefore those who have something from before; who of them is not to be contained keeps it */
    private void act(List<Look.Found> all, List<Look.Found> fromBefore, List<Look.Found> ending) {
        Set<Look.Found> contained = new HashSet<>(ending);
        Set<Look.Found> keeping = new HashSet<>(fromBefore);
        List<Look.Found> noted = all.stream().filter(found -> !contained.contains(found)).toList();
        try {
            inTransaction(session -> {
                noted.forEach(found -> found.note(session, provider, keeping.contains(found) ? 0 : found.change().watermarkMs()));
                return null;
            });
        } catch (RuntimeException e) {
            LOG.debug("Another node has noted the same in this moment, or the next look notes it", e);
        }
        ending.forEach(this::contain);
    }

    /** Of two nodes that have found the same, the one that notes it first. */
    private void contain(Look.Found found) {
        try {
            inTransaction(session -> {
                RealmModel realm = session.realms().getRealm(provider.realmId());
                session.getContext().setRealm(realm);
                if (found.note(session, provider, 0)) {
                    contain(session, realm, found);
                }
                return null;
            });
            inTransaction(this::renewed);
        } catch (RuntimeException e) {
            LOG.error("A user in whom something has changed in the directory could not be contained; it is tried again", e);
        }
    }

    private void contain(KeycloakSession session, RealmModel realm, Look.Found found) {
        Trigger trigger = found.change().trigger();
        // Of one who is not in the directory Keycloak would say the same, or forget them while it is asked.
        boolean gone = trigger == Trigger.DIRECTORY_ACCOUNT_DELETED;
        UserModel known = gone ? null : session.users().getUserById(realm, found.userId());
        UserModel user = known == null ? new InMemoryUserAdapter(session, realm, found.userId()) : known;
        AllOrNothing.of(session, afterCommit).run(() -> Containment.begin(session, realm, user,
                new Trigger.Match(trigger, found.userId(), found.change().watermarkMs()), Issuers.of(session, realm), null,
                known == null ? Containment.Fate.GOES : Containment.Fate.STAYS));
    }

    private DirectoryRow leased(KeycloakSession session) {
        long now = DbClock.now(session);
        return Jpa.em(session).createQuery("update DirectoryRow d set d.leaseMs = :until where d.providerId = :id and d.leaseMs < :now"
                + " and d.dueMs <= :now").setParameter("until", now + LEASE_MS).setParameter("id", provider.id())
                .setParameter("now", now).executeUpdate() == 1 ? Jpa.em(session).find(DirectoryRow.class, provider.id()) : null;
    }

    private Object renewed(KeycloakSession session) {
        return Jpa.em(session).createQuery("update DirectoryRow d set d.leaseMs = :until where d.providerId = :id and d.leaseMs > 0")
                .setParameter("until", DbClock.now(session) + LEASE_MS).setParameter("id", provider.id()).executeUpdate();
    }

    private void finish(DirectoryRow was, Look look, String reached, String state, boolean whole) {
        inTransaction(session -> {
            DirectoryRow row = Jpa.em(session).find(DirectoryRow.class, provider.id(), LockModeType.PESSIMISTIC_WRITE);
            if (row == null) {
                return null;
            }
            long now = DbClock.now(session);
            if (row.failingSinceMs != null) {
                LOG.infof("Directory %s answers again", provider.id());
            }
            // Else somebody has decided meanwhile, and all are gone through once more.
            if (row.state.equals(was.state)) {
                row.reached = reached;
                row.heldMs = state.equals(WATCHED) ? null : row.heldMs == null ? (Long) now : row.heldMs;
                row.state = state;
                row.held = was.held;
            }
            row.lookedMs = whole ? (Long) now : row.lookedMs;
            row.users = look.users;
            row.withoutClock = look.withoutClock;
            row.aheadMs = look.aheadMs;
            row.failingSinceMs = null;
            row.failure = null;
            row.dueMs = now + everyMs;
            row.leaseMs = 0;
            return null;
        });
    }

    private void failed(RuntimeException cause) {
        String reason = cause instanceof Look.Failure ? cause.getMessage() : cause.getClass().getSimpleName();
        inTransaction(session -> {
            DirectoryRow row = Jpa.em(session).find(DirectoryRow.class, provider.id(), LockModeType.PESSIMISTIC_WRITE);
            if (row == null) {
                return null;
            }
            long now = DbClock.now(session);
            if (row.failingSinceMs == null) {
                LOG.warnf("Directory %s could not be looked at: %s. What changes in it ends nothing until it can; this is said once",
                        provider.id(), reason);
                row.failingSinceMs = now;
            }
            if (!(cause instanceof Look.Failure)) {
                LOG.error("A directory could not be looked at", cause);
            }
            row.failure = reason;
            row.dueMs = now + everyMs;
            row.leaseMs = 0;
            return null;
        });
    }

    private <T> T inTransaction(KeycloakSessionTaskWithResult<T> task) {
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, task);
    }
}
