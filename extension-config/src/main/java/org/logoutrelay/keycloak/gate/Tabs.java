package org.logoutrelay.keycloak.gate;

import java.util.LinkedHashSet;
import java.util.Optional;
import java.util.Set;

import org.keycloak.authentication.authenticators.broker.AbstractIdpAuthenticator;
import org.keycloak.common.util.SecretGenerator;
import org.keycloak.models.RealmModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * Since when a tab has its user, in milliseconds of the database's clock. Stamped at the end of the request that gave the
 * tab its user, with the beginning of that request, and never moved: Keycloak's own times become younger with every page
 * that is shown again.
 */
public final class Tabs {
    private static final String BEGAN = "logout-relay.began";
    private static final String BROKER_BEGAN = "logout-relay.broker-began";
    private static final String SPARED = "logout-relay.spared";
    private static final String SID = "logout-relay.sid";

    /** What is known of a tab as it was when the request read it. Keycloak clears notes when a flow starts over. */
    record Stamp(String userId, Long beganMs, Long brokerBeganMs, String spared, String sid) {
        static Stamp of(AuthenticationSessionModel tab) {
            String note = tab.getAuthNote(BEGAN);
            int space = note == null ? -1 : note.indexOf(' ');
            String broker = tab.getAuthNote(BROKER_BEGAN);
            return new Stamp(note == null ? null : note.substring(space + 1),
                    note == null ? null : Long.valueOf(note.substring(0, space)), broker == null ? null : Long.valueOf(broker),
                    tab.getAuthNote(SPARED), tab.getAuthNote(SID));
        }
    }

    private Tabs() {
    }

    static String userId(AuthenticationSessionModel tab) {
        return tab.getAuthenticatedUser() == null ? null : tab.getAuthenticatedUser().getId();
    }

    /** The login that is under way in this tab, if it has a user. */
    static Optional<Gate.Login> login(Gate gate, RealmModel realm, AuthenticationSessionModel tab) {
        return Optional.ofNullable(userId(tab)).map(user -> {
            Beginning beginning = beginning(gate, tab);
            return new Gate.Login(realm, user, tab.getParentSession().getId(), beginning.ms(), beginning.spared(), null, null);
        });
    }

    /** Of a tab that has a user. One that got its user in this request began with this request. */
    static Beginning beginning(Gate gate, AuthenticationSessionModel tab) {
        Stamp read = gate.atCommit().asRead(tab);
        Stamp now = Stamp.of(tab);
        String user = userId(tab);
        long began = gate.requestMs();
        for (Stamp stamp : new Stamp[] {read, now}) {
            if (stamp.beganMs() != null && stamp.userId().equals(user)) {
                began = Math.min(began, stamp.beganMs());
            }
            // What another identity provider has proven stays as old as it is, whoever the user turns out to be.
            if (stamp.brokerBeganMs() != null && isByBroker(tab)) {
                began = Math.min(began, stamp.brokerBeganMs());
            }
        }
        Stamp right = now.spared() == null && user.equals(read.userId()) ? read : now;
        Set<String> spared = new LinkedHashSet<>(Beginning.words(right.spared()));
        if (read.userId() == null) {
            // By single sign-on: the tab goes on after the events that the session goes on after, which this request goes by.
            spared.addAll(gate.spared(user));
        }
        return new Beginning(began, spared, right.sid());
    }

    private static boolean isByBroker(AuthenticationSessionModel tab) {
        return tab.getAuthNote(AbstractIdpAuthenticator.BROKERED_CONTEXT_NOTE) != null;
    }

    /** Writes down what {@link #beginning} says. */
    static void stamp(Gate gate, AuthenticationSessionModel tab) {
        String user = userId(tab);
        if (user != null) {
            Beginning beginning = beginning(gate, tab);
            put(tab, BEGAN, beginning.ms() + " " + user);
            if (!beginning.spared().isEmpty()) {
                put(tab, SPARED, String.join(" ", beginning.spared()));
                if (beginning.sid() != null) {
                    put(tab, SID, beginning.sid());
                }
            }
        }
        if (isByBroker(tab)) {
            Long known = gate.atCommit().asRead(tab).brokerBeganMs();
            put(tab, BROKER_BEGAN, Long.toString(known == null ? gate.requestMs() : known));
        }
    }

    private static void put(AuthenticationSessionModel tab, String note, String value) {
        if (!value.equals(tab.getAuthNote(note))) {
            tab.setAuthNote(note, value);
        }
    }

    /**
     * The login in this tab goes on after that event, by right: its person made the change here. It does so in a new session:
     * what was given out under the id of the old one must not count again.
     *
     * @return the id of the new session
     */
    public static String spare(AuthenticationSessionModel tab, String txn) {
        Set<String> spared = new LinkedHashSet<>(Beginning.words(tab.getAuthNote(SPARED)));
        spared.add(txn);
        tab.setAuthNote(SPARED, String.join(" ", spared));
        if (tab.getAuthNote(SID) == null) {
            tab.setAuthNote(SID, SecretGenerator.getInstance().generateSecureID());
        }
        return tab.getAuthNote(SID);
    }
}
