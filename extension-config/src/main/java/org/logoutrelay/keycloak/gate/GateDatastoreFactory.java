package org.logoutrelay.keycloak.gate;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.SingleUseObjectProvider;
import org.keycloak.models.UserProvider;
import org.keycloak.models.UserSessionProvider;
import org.keycloak.provider.ProviderFactory;
import org.keycloak.sessions.AuthenticationSessionProvider;
import org.keycloak.storage.DatastoreProvider;
import org.keycloak.storage.DatastoreProviderFactory;
import org.keycloak.storage.datastore.DefaultDatastoreProvider;
import org.keycloak.storage.datastore.DefaultDatastoreProviderFactory;
import org.logoutrelay.keycloak.base.BeforeCommit;
import org.logoutrelay.keycloak.base.PlainFactory;

/**
 * Where Keycloak's own code gets sessions and tabs from, and nowhere else: {@code session.sessions()} and
 * {@code session.authenticationSessions()}.
 *
 * <p>The provider is a subclass of Keycloak's, since Keycloak casts it to its own class. Keycloak's own factory is set up
 * beside this one, keeps its options and schedules its tasks.
 */
public class GateDatastoreFactory extends PlainFactory<DatastoreProvider> implements DatastoreProviderFactory {
    private static final String ID = "logout-relay-gate";
    private static final String KEYCLOAKS_OWN = "legacy";

    private static final class Gated extends DefaultDatastoreProvider {
        private final KeycloakSession session;
        private UserSessionProvider userSessions;
        private AuthenticationSessionProvider authSessions;
        private SingleUseObjectProvider singleUseObjects;
        private UserProvider localUsers;

        Gated(DefaultDatastoreProviderFactory own, KeycloakSession session) {
            super(own, session);
            this.session = session;
        }

        @Override
        public UserSessionProvider userSessions() {
            if (userSessions == null) {
                userSessions = SessionGate.of(session, super.userSessions());
            }
            return userSessions;
        }

        @Override
        public AuthenticationSessionProvider authSessions() {
            if (authSessions == null) {
                authSessions = TabGate.of(session, super.authSessions());
            }
            return authSessions;
        }

        @Override
        public UserProvider userLocalStorage() {
            if (localUsers == null) {
                localUsers = LocalUsers.of(session, super.userLocalStorage());
            }
            return localUsers;
        }

        @Override
        public SingleUseObjectProvider singleUseObjects() {
            if (singleUseObjects == null) {
                singleUseObjects = VerifiedLinks.of(session, super.singleUseObjects());
            }
            return singleUseObjects;
        }
    }

    /** @throws IllegalStateException where another datastore is in force: nothing would be refused, and nobody told */
    public static void requireInForce(KeycloakSession session) {
        DatastoreProvider inForce = session.getProvider(DatastoreProvider.class);
        if (!(inForce instanceof Gated)) {
            throw new IllegalStateException("Logout Relay is installed, but Keycloak takes its sessions from another datastore"
                    + " (" + (inForce == null ? "none" : inForce.getClass().getName()) + "), so sessions from before a reset"
                    + " would be taken. Remove the option spi-datastore--provider or the other extension, or remove Logout Relay");
        }
    }

    @Override
    public DatastoreProvider create(KeycloakSession session) {
        // Here, since no session reads or writes anything before it has this.
        BeforeCommit.enlist(session);
        ProviderFactory<DatastoreProvider> own = session.getKeycloakSessionFactory()
                .getProviderFactory(DatastoreProvider.class, KEYCLOAKS_OWN);
        return new Gated((DefaultDatastoreProviderFactory) own, session);
    }

    @Override
    public String getId() {
        return ID;
    }

    @Override
    public int order() {
        return 10;
    }
}
