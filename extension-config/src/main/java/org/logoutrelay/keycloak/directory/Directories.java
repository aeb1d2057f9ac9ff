package org.logoutrelay.keycloak.directory;

import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import org.jboss.logging.Logger;
import org.keycloak.component.ComponentModel;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.LDAPConstants;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.storage.UserStorageProvider;
import org.keycloak.storage.UserStorageProviderModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Decision;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.LogoutRelay;

import jakarta.persistence.LockModeType;

/**
 * Most passwords are changed where no event of Keycloak says so: in the directory. So each LDAP provider of a realm with the
 * listener is asked, again and again and after a login, what its own clock says of those users who have something that could
 * be ended. Each has a thread of its own, so that one that is down or slow delays no other, and no login.
 */
public final class Directories {
    private static final Logger LOG = Logger.getLogger(Directories.class);
    private static final long PRUNE_MS = 10L * 60 * 1000;
    private static final int MAX_WAITING = 10_000;

    private final KeycloakSessionFactory factory;
    private final AllOrNothing.Committed afterCommit;
    private final Duration every;
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(task -> daemon(task, "logout-relay-directories"));
    private final Map<String, Watched> watched = new HashMap<>();
    /** The users to be looked at before the next sweep. */
    private final Set<String> waiting = new HashSet<>();
    private long nextPruneMs;

    private record Watched(Sweep sweep, ScheduledExecutorService thread) {
    }

    public Directories(KeycloakSessionFactory factory, AllOrNothing.Committed afterCommit, Duration every) {
        this.factory = factory;
        this.afterCommit = afterCommit;
        this.every = every;
    }

    public void start() {
        clock.scheduleWithFixedDelay(() -> safely(this::watchAll), 0, Math.min(every.toMillis(), 5_000), TimeUnit.MILLISECONDS);
    }

    public void close() {
        clock.shutdownNow();
        synchronized (watched) {
            watched.values().forEach(one -> one.thread().shutdownNow());
        }
    }

    /** Somebody has logged in: with a new password, perhaps. Costs the request nothing. */
    public void lookAfterCommit(KeycloakSession session, String userId) {
        synchronized (watched) {
            if (watched.isEmpty()) {
                return;
            }
        }
        session.getTransactionManager().enlistAfterCompletion(new AbstractKeycloakTransaction() {
            @Override
            protected void commitImpl() {
                lookSoon(Set.of(userId), 0);
            }

            @Override
            protected void rollbackImpl() {
                // nobody has logged in
            }
        });
    }

    /** Keycloak has itself set the password of this user of a directory; written with the change. */
    public static void noteOwnChange(KeycloakSession session, String userId) {
        OwnChangeRow row = new OwnChangeRow();
        row.id = Ids.next();
        row.userId = userId;
        row.atMs = DbClock.now(session);
        Jpa.em(session).persist(row);
    }

    private void lookSoon(Set<String> users, long afterMs) {
        synchronized (waiting) {
            boolean first = waiting.isEmpty();
            if (waiting.size() + users.size() > MAX_WAITING) {
                // The sweep comes to them.
                return;
            }
            if (afterMs == 0) {
                waiting.addAll(users);
            }
            if ((first || afterMs > 0) && !clock.isShutdown()) {
                clock.schedule(() -> safely(afterMs == 0 ? this::lookAtWaiting : () -> lookSoon(users, 0)), afterMs, TimeUnit.MILLISECONDS);
            }
        }
    }

    private void lookAtWaiting() {
        Set<String> users;
        synchronized (waiting) {
            users = new HashSet<>(waiting);
            waiting.clear();
        }
        Map<String, Set<String>> byProvider = KeycloakModelUtils.runJobInTransactionWithResult(factory,
                session -> LiveUsers.byProvider(session, users));
        byProvider.forEach((provider, some) -> {
            Watched one;
            synchronized (watched) {
                one = watched.get(provider);
            }
            if (one != null) {
                one.thread().execute(() -> safely(() -> again(one.sweep().lookAt(some))));
            }
        });
    }

    private void again(Set<String> users) {
        if (!users.isEmpty()) {
            lookSoon(users, Change.YOUNG_MS);
        }
    }

    private void watchAll() {
        List<Provider> providers = KeycloakModelUtils.runJobInTransactionWithResult(factory, Directories::providers);
        makeRows(providers);
        Set<String> ids = providers.stream().map(Provider::id).collect(Collectors.toSet());
        synchronized (watched) {
            watched.entrySet().stream().filter(one -> !ids.contains(one.getKey())).forEach(one -> one.getValue().thread().shutdown());
            watched.keySet().retainAll(ids);
        }
        for (Provider provider : providers) {
            Watched one;
            synchronized (watched) {
                one = watched.get(provider.id());
            }
            if (one == null) {
                ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
                        task -> daemon(task, "logout-relay-directory-" + provider.id()));
                Watched made = new Watched(new Sweep(factory, afterCommit, provider, every), thread);
                synchronized (watched) {
                    watched.put(provider.id(), made);
                }
                thread.scheduleWithFixedDelay(() -> safely(() -> again(made.sweep().run())), 0, Math.min(every.toMillis(), 1_000),
                        TimeUnit.MILLISECONDS);
            }
        }
        if (System.nanoTime() / 1_000_000 > nextPruneMs) {
            nextPruneMs = System.nanoTime() / 1_000_000 + PRUNE_MS;
            KeycloakModelUtils.runJobInTransaction(factory, LiveUsers::prune);
        }
    }

    private void makeRows(List<Provider> providers) {
        Set<String> known = providers.isEmpty() ? Set.of() : KeycloakModelUtils.runJobInTransactionWithResult(factory, session ->
                Set.copyOf(Jpa.em(session).createQuery("select d.providerId from DirectoryRow d", String.class).getResultList()));
        providers.stream().filter(provider -> !known.contains(provider.id())).forEach(this::makeRow);
    }

    private void makeRow(Provider provider) {
        try {
            KeycloakModelUtils.runJobInTransaction(factory, session -> {
                DirectoryRow row = new DirectoryRow();
                row.providerId = provider.id();
                row.realmId = provider.realmId();
                row.reached = LiveUsers.FROM_THE_FIRST;
                row.state = Sweep.WATCHED;
                Jpa.em(session).persist(row);
            });
        } catch (RuntimeException e) {
            LOG.debug("Another node has begun to watch a directory in the same moment", e);
        }
    }

    /** Those that are switched on, in realms with the listener. */
    private static List<Provider> providers(KeycloakSession session) {
        return Jpa.em(session).createQuery("select c.id, c.realm.id from ComponentEntity c where c.providerType = :type"
                + " and c.providerId = :ldap", Object[].class).setParameter("type", UserStorageProvider.class.getName())
                .setParameter("ldap", LDAPConstants.LDAP_PROVIDER).getResultStream()
                .map(row -> new Provider((String) row[0], (String) row[1])).filter(provider -> {
                    RealmModel realm = session.realms().getRealm(provider.realmId());
                    ComponentModel component = realm == null ? null : realm.getComponent(provider.id());
                    return component != null && LogoutRelay.isOn(realm) && new UserStorageProviderModel(component).isEnabled();
                }).toList();
    }

    /** What the user storage providers of a realm are like, for whoever looks for what is missing. */
    public static List<Map<String, Object>> list(KeycloakSession session, RealmModel realm) {
        return realm.getComponentsStream(realm.getId(), UserStorageProvider.class.getName())
                .map(component -> shown(session, realm, component)).toList();
    }

    private static Map<String, Object> shown(KeycloakSession session, RealmModel realm, ComponentModel component) {
        DirectoryRow row = Jpa.em(session).find(DirectoryRow.class, component.getId());
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("id", component.getId());
        shown.put("name", component.getName());
        shown.put("provider", component.getProviderId());
        boolean on = LogoutRelay.isOn(realm) && new UserStorageProviderModel(component).isEnabled();
        boolean asked = LDAPConstants.LDAP_PROVIDER.equals(component.getProviderId());
        shown.put("state", !on ? "off" : !asked ? "unwatched" : row == null ? "new" : row.state);
        if (row != null) {
            shown.put("users", row.users);
            shown.put("without_clock", row.withoutClock);
            shown.put("held", row.held);
            Optional.ofNullable(row.lookedMs).ifPresent(ms -> shown.put("looked_ms", ms));
            Optional.ofNullable(row.aheadMs).ifPresent(ms -> shown.put("clock_ahead_ms", ms));
            Optional.ofNullable(row.failingSinceMs).ifPresent(ms -> shown.put("failing_since_ms", ms));
            Optional.ofNullable(row.failure).ifPresent(why -> shown.put("failure", why));
            Optional.ofNullable(row.decidedBy).ifPresent(by -> shown.put("decided_by", by));
            Optional.ofNullable(row.decision).ifPresent(decision -> shown.put("decision", decision));
            Optional.ofNullable(row.decidedMs).ifPresent(ms -> shown.put("decided_ms", ms));
            Optional.ofNullable(row.decidedReason).ifPresent(reason -> shown.put("decided_reason", reason));
        }
        return shown;
    }

    /** A person's word about the changes that are held. @return how it is now, or empty for a directory in which none are */
    public static Optional<Map<String, Object>> decide(KeycloakSession session, RealmModel realm, String id, Decision decision) {
        ComponentModel component = id == null ? null : realm.getComponent(id);
        DirectoryRow row = component == null ? null : Jpa.em(session).find(DirectoryRow.class, id, LockModeType.PESSIMISTIC_WRITE);
        if (row == null || !row.realmId.equals(realm.getId()) || !row.state.equals(Sweep.HELD)) {
            return Optional.empty();
        }
        row.state = decision.confirmed() ? Sweep.CONFIRMED : Sweep.DISMISSED;
        row.decidedBy = decision.by();
        row.decision = decision.word();
        row.decidedMs = DbClock.now(session);
        row.decidedReason = decision.reason();
        row.reached = LiveUsers.FROM_THE_FIRST;
        row.dueMs = 0;
        return Optional.of(shown(session, realm, component));
    }

    private static Thread daemon(Runnable task, String name) {
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        return thread;
    }

    /** What is thrown would end the schedule. */
    private static void safely(Runnable part) {
        try {
            part.run();
        } catch (Look.Failure e) {
            LOG.debugf("A directory could not be looked at: %s", e.getMessage());
        } catch (Throwable t) {
            LOG.error("A look at a directory failed; it comes again", t);
        }
    }
}
