package org.logoutrelay.keycloak.containment;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.gate.Gate;
import org.logoutrelay.keycloak.gate.Nodes;
import org.logoutrelay.keycloak.gate.SessionStore;
import org.logoutrelay.keycloak.gate.Spared;
import org.logoutrelay.keycloak.gate.Tabs;
import org.logoutrelay.keycloak.gate.WatermarkRow;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEvent;
import org.logoutrelay.keycloak.trigger.IdentityProviders;
import org.logoutrelay.keycloak.trigger.LoginFlow;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.WrittenClients;

import jakarta.persistence.LockModeType;

/**
 * What a security event does to its subject at Keycloak, inside the transaction of the change: from its commit on the
 * {@link Gate} refuses what is from before. {@link Listing} follows, and {@link Remains} are cleaned up.
 */
public final class Containment {
    /** Aliases in one SET; the relay takes no more. */
    private static final int MAX_LINKS = 100;

    private Containment() {
    }

    /** What becomes of the user with the change. */
    public enum Fate {
        STAYS,
        /** Keycloak removes the sessions of a user who goes, and cannot be asked about the user afterwards. */
        GOES,
        /**
         * Goes because a directory does, or says so. Keycloak asks that one for whatever of the user it is asked for, and
         * would begin the removal again; so of the sessions only the ledger's are told.
         */
        DROPPED
    }

    /** The event to be answered, as it was seen. */
    private record Act(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match, String issuer, String txn,
            long watermarkMs, Policy policy, boolean shadow, ClientSteps client) {

        /** As it turns out at the end: a service account that goes may go with its client. */
        Act atLast() {
            return !client.isDeleted() ? this : new Act(session, realm, user, new Trigger.Match(Trigger.CLIENT_DELETED, user.getId()),
                    issuer, txn, watermarkMs, policy, shadow, ClientSteps.ofDeleted(session, client.uuid(),
                            WrittenClients.deleted(session, client.uuid()), policy.steps(Trigger.CLIENT_DELETED).orElse(Set.of())));
        }
    }

    /**
     * Writes, with the change, that all of the subject's logins are dead from now on: the watermark, the user's not-before,
     * and the outbox row that says so. That is all: listing who has to be told, and cleaning up, come after the commit, so
     * that nobody can make a reset slow by logging in often. Throws where it cannot; the change must then fail.
     *
     * @param flow the login in which the person made the change, or null; it goes on
     * @return nothing where the realm's policy has nothing done
     */
    public static AllOrNothing.Recording begin(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match,
            String issuer, LoginFlow flow, Fate fate) {
        Policy policy = Policy.of(session, realm);
        Optional<Set<Policy.Step>> steps = policy.steps(match.trigger(), saidBy(session, realm, user, match));
        if (steps.isEmpty()) {
            return AllOrNothing.Recording.NOTHING;
        }
        Act act = new Act(session, realm, user, match, issuer,
                match.asked() == null ? Ids.next() : match.asked().txn(), watermarkMs(session, realm, user, match), policy,
                policy.isShadow(), ClientSteps.ofAccount(session, realm, user, match.trigger(), steps.get()));
        if (match.sid() != null) {
            return endOne(act);
        }
        boolean userGoes = fate != Fate.STAYS;
        Set<String> sparedClients = userGoes ? Set.of() : policy.sparedClients(steps.get());
        WatermarkRow watermark = Watermarks.row(realm.getId(), user.getId(), null, act.watermarkMs, act.txn, sparedClients);
        boolean privileged = policy.isPrivileged(realm, user);
        // Before a step removes the links, or the user goes.
        List<ListedSession> told = act.shadow || fate == Fate.DROPPED ? List.of()
                : Told.listed(session, realm, user, match, policy.toldAliases(steps.get()), issuer, act.txn);
        Collection<ListedSession> all = switch (fate) {
            case STAYS -> null;
            case GOES -> Listing.preview(session, realm, user, act.watermarkMs, issuer, Set.of());
            case DROPPED -> Ledger.before(session, realm, user.getId(), act.watermarkMs).values();
        };
        String goesOn = act.shadow || flow == null ? null
                : ListedSession.key(flow.clientUuid(), Tabs.spare(flow.login(), act.txn));
        if (!act.shadow) {
            Gate.of(session).close(watermark);
        }
        Steps.makeReady(session);
        return () -> {
            // Before anything of this user is read or written: whoever writes by an old login is seen, or sees the watermark.
            Jpa.lockUser(session, user.getId(), LockModeType.PESSIMISTIC_WRITE);
            Map<String, Integer> done = Map.of();
            if (!act.shadow) {
                Jpa.em(session).persist(watermark);
                if (!userGoes) {
                    setNotBefore(act, flow != null, sparedClients);
                    // Else the next login, by the person themselves, is shown the address that an old one asked for.
                    forgetPendingEmail(session, user);
                    done = new Steps(session, realm, user, policy).run(steps.get(), act.watermarkMs);
                    done.putAll(act.client.run(act.watermarkMs));
                } else {
                    done = act.client.run(act.watermarkMs);
                }
            }
            SecurityEvent event = event(act.atLast(), privileged, goesOn);
            OutboxRow row = new OutboxRow(event, act.watermarkMs);
            row.steps(done);
            row.spare(sparedClients);
            if (userGoes) {
                Outbox.appendListed(session, row, Stream.concat(all.stream(), told.stream()).toList());
            } else {
                row.identityProviders(linked(session, realm, user));
                Outbox.append(session, row, told);
                if (privileged && !act.shadow) {
                    Watch.begin(session, event, act.watermarkMs);
                }
            }
            return act.txn;
        };
    }

    /** Aliases of the identity providers that have said so of the user; none where none has. */
    private static List<String> saidBy(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match) {
        return match.upstream() == null ? List.of()
                : IdentityProviders.linked(session, realm, user, IdentityProviders.aliases(session, match.upstream().iss()));
    }

    /**
     * The last millisecond of the event's second: Keycloak's own times, and those of mailed links, are whole seconds. What is
     * recorded already is old by definition, whatever a clock says.
     */
    private static long watermarkMs(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match) {
        return match.atMs() != null ? match.atMs()
                : Math.max(DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory())),
                        Ledger.newestLogin(session, realm.getId(), user.getId()));
    }

    /** By the table: a user of a directory that is down or gone is read-only in Keycloak, and must be contained all the same. */
    private static void forgetPendingEmail(KeycloakSession session, UserModel user) {
        for (String rows : List.of("UserAttributeEntity a where a.user.id", "FederatedUserAttributeEntity a where a.userId")) {
            Jpa.em(session).createQuery("delete from " + rows + " = :user and a.name = :name").setParameter("user", user.getId())
                    .setParameter("name", UserModel.EMAIL_PENDING).executeUpdate();
        }
    }

    /**
     * Of tokens that have no session nothing else tells how old they are. Keycloak takes one of the second that it is set to,
     * so it is set to the next; but for the person who goes on and gets tokens in this very second.
     */
    private static void setNotBefore(Act act, boolean goesOn, Set<String> sparedClients) {
        if (!sparedClients.isEmpty() && SessionStore.fromBefore(act.session, act.realm, act.user, act.watermarkMs).stream()
                .anyMatch(new Spared(sparedClients)::isSpared)) {
            // It would end what is spared.
            return;
        }
        setNotBefore(act.session, act.realm, act.user, notBefore(act.session, act.watermarkMs) - (goesOn ? 1 : 0));
    }

    static void setNotBefore(KeycloakSession session, RealmModel realm, UserModel user, int seconds) {
        if (session.users().getNotBeforeOfUser(realm, user) < seconds) {
            session.users().setNotBeforeForUser(realm, user, seconds);
        }
    }

    /** Seconds, in the time of the slowest node: what that issues after the event must count. */
    static int notBefore(KeycloakSession session, long watermarkMs) {
        return (int) Math.floorDiv(watermarkMs + Nodes.slowestMs(session), 1000L) + 1;
    }

    /** What an outbox row keeps of the links that the user still has: whoever added one logs in with it. */
    private static List<String> linked(KeycloakSession session, RealmModel realm, UserModel user) {
        return session.users().getFederatedIdentitiesStream(realm, user)
                .map(FederatedIdentityModel::getIdentityProvider).sorted().limit(MAX_LINKS).toList();
    }

    /** One session only: nothing of the user's others is touched. */
    private static AllOrNothing.Recording endOne(Act act) {
        List<UserSessionModel> live = SessionStore.withId(act.session, act.realm, act.match.sid()).toList();
        List<ListedSession> listed = Listing.listed(act.session, act.realm, act.user, live, act.issuer, Set.of());
        WatermarkRow watermark = Watermarks.row(act.realm.getId(), act.user.getId(), act.match.sid(), act.watermarkMs, act.txn,
                Set.of());
        if (!act.shadow) {
            Gate.of(act.session).close(watermark);
        }
        return () -> {
            if (!act.shadow) {
                Jpa.em(act.session).persist(watermark);
            }
            Map<String, ListedSession> sessions = Ledger.ofSession(act.session, act.realm, act.user.getId(), act.match.sid());
            listed.forEach(session -> sessions.putIfAbsent(session.key(), session));
            if (sessions.isEmpty()) {
                return null;
            }
            Outbox.appendListed(act.session, new OutboxRow(event(act, false, null), act.watermarkMs),
                    List.copyOf(sessions.values()));
            return act.txn;
        };
    }

    private static SecurityEvent event(Act act, boolean privileged, String goesOn) {
        return SecurityEvent.of(act.match, act.txn, act.realm.getId(), act.user.getId(), act.issuer, privileged, act.shadow, goesOn,
                act.client.clientId(), act.client.endsAllTokens() && !act.shadow);
    }
}
