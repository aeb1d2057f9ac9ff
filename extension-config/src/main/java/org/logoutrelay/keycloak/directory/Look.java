package org.logoutrelay.keycloak.directory;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

import javax.naming.NamingException;

import org.jboss.logging.Logger;
import org.keycloak.component.ComponentModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.trigger.Policy;

/** One look at some users of one directory: what is new is noted, and what may have to end something is handed back. */
final class Look {
    private static final Logger LOG = Logger.getLogger(Look.class);

    /** @param was what was seen before, or null */
    record Found(String userId, SeenRow was, Change change) {
        /** @param oldUntilMs as {@link SeenRow#oldUntilMs} @return whether nobody else has noted it before */
        boolean note(KeycloakSession session, Provider provider, long oldUntilMs) {
            if (was != null) {
                return Jpa.em(session).createQuery("update SeenRow s set s.passwordClock = :clock, s.disabled = :disabled,"
                        + " s.goneMs = :gone, s.oldUntilMs = :old where s.userId = :user and s.passwordClock = :wasClock"
                        + " and s.disabled = :wasDisabled and s.goneMs = :wasGone and s.oldUntilMs = :wasOld")
                        .setParameter("old", oldUntilMs).setParameter("wasOld", was.oldUntilMs).setParameter("clock", change.now()).setParameter("disabled", change.disabled())
                        .setParameter("gone", change.goneMs()).setParameter("user", userId).setParameter("wasClock", was.passwordClock)
                        .setParameter("wasDisabled", was.disabled).setParameter("wasGone", was.goneMs).executeUpdate() == 1;
            }
            SeenRow row = new SeenRow();
            row.userId = userId;
            row.userKey = Ids.key(userId);
            row.providerId = provider.id();
            row.passwordClock = change.now();
            row.disabled = change.disabled();
            row.goneMs = change.goneMs();
            row.oldUntilMs = oldUntilMs;
            Jpa.em(session).persist(row);
            Jpa.em(session).flush();
            return true;
        }
    }

    /** The directory could not be asked. The message is ours: what a directory says may name people. */
    static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Failure(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private record Known(ComponentModel component, String clock, Map<String, String> ids, Map<String, SeenRow> seen,
            Map<String, Long> own, Set<String> late) {
    }

    private record Answer(Map<String, Directory.Entry> entries, Change.Clocks clocks) {
    }

    private final KeycloakSessionFactory factory;
    private final Provider provider;
    private final Ahead ahead;

    /** Those that end what is from before, where something is. */
    final List<Found> changes = new ArrayList<>();
    /** Those to be looked at again soon. */
    final Set<String> again = new HashSet<>();
    int users;
    int withoutClock;
    Long aheadMs;

    Look(KeycloakSessionFactory factory, Provider provider, Ahead ahead) {
        this.factory = factory;
        this.provider = provider;
        this.ahead = ahead;
    }

    /** @throws Failure where the directory does not answer, or not for all: then nothing is concluded */
    void at(Collection<String> looked) {
        Known known = KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> known(session, looked));
        if (known.component() == null || looked.isEmpty()) {
            return;
        }
        // With nothing of the database in it: a slow directory must not hold what others wait for.
        Answer answer = KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> ask(session, known));
        aheadMs = answer.clocks().aheadMs();
        List<Found> notes = new ArrayList<>();
        Set<String> seenNow = new HashSet<>(looked);
        for (String user : looked) {
            String id = known.ids().get(user);
            Directory.Entry entry = id == null ? null : answer.entries().get(id);
            users++;
            withoutClock += entry != null && entry.clock().equals(PasswordClock.NONE) ? 1 : 0;
            OptionalLong own = LiveUsers.ownChange(known.own(), user);
            if (own.isPresent() && own.getAsLong() > answer.clocks().nowMs() - Change.YOUNG_MS
                    || entry != null && Change.isYoung(entry, answer.clocks())) {
                again.add(user);
                seenNow.remove(user);
                continue;
            }
            SeenRow was = known.seen().get(user);
            Change change = Change.of(was, entry, answer.clocks());
            if (change != null) {
                boolean note = change.isOnlyToBeNoted() || change.isOwn(own);
                (note ? notes : changes).add(new Found(user, was, change));
                if (change.goneMs() > 0) {
                    again.add(user);
                }
            } else if (known.late().contains(user) && was != null) {
                changes.add(new Found(user, was, Change.late(was)));
            }
        }
        note(notes, seenNow, answer.clocks().nowMs());
    }

    private Known known(KeycloakSession session, Collection<String> looked) {
        RealmModel realm = session.realms().getRealm(provider.realmId());
        ComponentModel component = realm == null ? null : realm.getComponent(provider.id());
        return component == null ? new Known(null, null, Map.of(), Map.of(), Map.of(), Set.of())
                : new Known(component, Policy.of(session, realm).directoryClock(), LiveUsers.inDirectory(session, looked),
                        LiveUsers.seen(session, looked), LiveUsers.ownChanges(session, looked),
                        LiveUsers.late(session, provider, looked));
    }

    private Answer ask(KeycloakSession session, Known known) {
        RealmModel realm = session.realms().getRealm(provider.realmId());
        session.getContext().setRealm(realm);
        try (Directory directory = Directory.open(session, known.component(), known.clock())) {
            long before = DbClock.now(session);
            OptionalLong time = directory.timeMs();
            Long measured = time.isEmpty() ? null : (Long) ahead.measured(time.getAsLong(), (before + DbClock.now(session)) / 2);
            Map<String, Directory.Entry> entries = new HashMap<>();
            for (boolean byName : new boolean[] {false, true}) {
                entries.putAll(directory.entries(known.ids().entrySet().stream()
                        .filter(user -> LiveUsers.isDirect(user.getKey()) == byName).map(Map.Entry::getValue).toList(), byName));
            }
            if (entries.isEmpty() && !known.ids().isEmpty() && !directory.hasUsers()) {
                throw new Failure("it shows no user at all", null);
            }
            return new Answer(entries, new Change.Clocks(DbClock.now(session), measured));
        } catch (NamingException e) {
            throw new Failure(e.getClass().getSimpleName(), e);
        }
    }

    /** What another node notes in the same moment is the same. */
    private void note(List<Found> notes, Set<String> seenNow, long nowMs) {
        try {
            KeycloakModelUtils.runJobInTransaction(factory, session -> {
                notes.forEach(found -> found.note(session, provider, 0));
                LiveUsers.forgetOwnChanges(session, seenNow, nowMs - Change.YOUNG_MS);
            });
        } catch (RuntimeException e) {
            LOG.debug("What was seen in a directory could not be noted; the next look notes it", e);
        }
    }
}
