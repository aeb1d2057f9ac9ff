package org.logoutrelay.keycloak.spi;

import java.util.ArrayList;
import java.util.List;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.storage.StorageId;
import org.keycloak.storage.UserStoragePrivateUtil;
import org.keycloak.storage.adapter.InMemoryUserAdapter;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.containment.Containment;
import org.logoutrelay.keycloak.containment.Containment.Fate;
import org.logoutrelay.keycloak.containment.Steps;
import org.logoutrelay.keycloak.gate.LinksGo;
import org.logoutrelay.keycloak.gate.UsersGo;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.trigger.Holders;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.Written;

/** What no event says, or none that we look for: by what is about to be committed, whatever door it came through. */
final class Doors {
    /** Of one change, told at once; the others follow with the sweep, as many every five seconds. */
    private static final int AT_ONCE = 100;

    private final KeycloakSession session;
    private final AllOrNothing allOrNothing;
    private int told;

    private Doors(KeycloakSession session, AllOrNothing.Committed afterCommit) {
        this.session = session;
        this.allOrNothing = AllOrNothing.of(session, afterCommit);
    }

    /** The session has touched what may come to be a trigger: what that needs can be opened only now. */
    static void watch(KeycloakSession session, AllOrNothing.Committed afterCommit) {
        AllOrNothing.of(session, afterCommit).enlist();
        Steps.makeReady(session);
    }

    /** Before the commit: what an event has told of a user already is not told again. */
    static void look(KeycloakSession session, AllOrNothing.Committed afterCommit) {
        if (!Written.isWatched(session)) {
            return;
        }
        try {
            Jpa.em(session).flush();
        } catch (RuntimeException e) {
            AllOrNothing.refuseIfMet(e);
            throw e;
        }
        Doors doors = new Doors(session, afterCommit);
        List<Written.Found> found = new ArrayList<>();
        doors.allOrNothing.run(() -> {
            found.addAll(Written.matches(session));
            return AllOrNothing.Recording.NOTHING;
        });
        found.forEach(one -> doors.contain(one.realm(), one.match(), Fate.STAYS, one.amongMany()));
        ClientDoors.look(session, doors.allOrNothing);
    }

    static void userGoes(KeycloakSession session, RealmModel realm, UserModel user, Fate fate, AllOrNothing.Committed afterCommit) {
        // A directory may drop thousands who have nothing to end, and some whom the look at it has just contained.
        if (LogoutRelay.isOn(realm) && (fate != Fate.DROPPED
                || !Ledger.withSessions(session, realm.getId(), List.of(user.getId())).isEmpty())) {
            Doors doors = new Doors(session, afterCommit);
            Trigger trigger = ClientDoors.whyGoes(session, doors.allOrNothing, realm, user);
            doors.contain(realm, user, new Trigger.Match(trigger, user.getId()), fate, false);
        }
    }

    static void usersGo(UsersGo removal, AllOrNothing.Committed afterCommit) {
        if (LogoutRelay.isOn(removal.realm())) {
            new Doors(removal.session(), afterCommit).many(removal.realm(), Trigger.ACCOUNT_DELETED, Fate.DROPPED,
                    () -> Holders.ofFederation(removal.session(), removal.realm(), removal.federation(), removal.withIt()));
        }
    }

    static void linksGo(LinksGo removal, AllOrNothing.Committed afterCommit) {
        if (LogoutRelay.isOn(removal.realm())) {
            new Doors(removal.session(), afterCommit).many(removal.realm(), Trigger.ADMIN_IDENTITY_PROVIDER_REMOVED, Fate.STAYS,
                    () -> Holders.ofIdentityProvider(removal.session(), removal.realm(), removal.alias()));
        }
    }

    private interface Holding {
        List<String> users();
    }

    private void many(RealmModel realm, Trigger trigger, Fate fate, Holding holding) {
        List<String> users = new ArrayList<>();
        allOrNothing.run(() -> {
            users.addAll(holding.users());
            return AllOrNothing.Recording.NOTHING;
        });
        users.forEach(user -> contain(realm, new Trigger.Match(trigger, user), fate, true));
    }

    private void contain(RealmModel realm, Trigger.Match match, Fate fate, boolean amongMany) {
        contain(realm, fate == Fate.STAYS ? staying(realm, match.userId()) : going(realm, match.userId()), match, fate, amongMany);
    }

    private void contain(RealmModel realm, UserModel user, Trigger.Match match, Fate fate, boolean amongMany) {
        allOrNothing.run(() -> {
            if (user == null || !allOrNothing.isFirst(user.getId())) {
                return AllOrNothing.Recording.NOTHING;
            }
            RealmModel context = session.getContext().getRealm();
            if (context == null || !context.getId().equals(realm.getId())) {
                session.getContext().setRealm(realm);
            }
            AllOrNothing.Recording recording = Containment.begin(session, realm, user, match, Issuers.of(session, realm), null, fate);
            if (context != null) {
                session.getContext().setRealm(context);
            }
            return amongMany ? () -> paced(recording.write()) : recording;
        });
    }

    private String paced(String txn) {
        return txn == null || told++ < AT_ONCE ? txn : null;
    }

    private UserModel staying(RealmModel realm, String userId) {
        UserModel user = session.users().getUserById(realm, userId);
        return user != null ? user : UserStoragePrivateUtil.userLocalStorage(session).getUserById(realm, userId);
    }

    /** Without asking a directory: whoever removes it may do so because it does not answer any more. */
    private UserModel going(RealmModel realm, String userId) {
        return StorageId.isLocalStorage(userId) ? UserStoragePrivateUtil.userLocalStorage(session).getUserById(realm, userId)
                : new InMemoryUserAdapter(session, realm, userId);
    }
}
