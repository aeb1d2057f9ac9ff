package org.logoutrelay.crash;

import org.keycloak.Config;
import org.keycloak.events.Event;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.EventListenerProviderFactory;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;

/**
 * Listener {@code crash-after-commit}: halts the server at a password reset, when the database has committed and nothing
 * that comes after has begun. It stands for a power cut at the worst moment; it is a jar of its own and never shipped.
 */
public class CrashListenerFactory implements EventListenerProviderFactory {
    @Override
    public EventListenerProvider create(KeycloakSession session) {
        return new EventListenerProvider() {
            @Override
            public void onEvent(Event event) {
                // only administrators' resets
            }

            @Override
            public void onEvent(AdminEvent event, boolean includeRepresentation) {
                if (event.getResourcePath() == null || !event.getResourcePath().endsWith("/reset-password")) {
                    return;
                }
                // Keycloak commits in the order of enlistment, and the database's transaction was enlisted first.
                session.getTransactionManager().enlist(new AbstractKeycloakTransaction() {
                    @Override
                    protected void commitImpl() {
                        Runtime.getRuntime().halt(137);
                    }

                    @Override
                    protected void rollbackImpl() {
                        // no commit, no crash
                    }
                });
            }

            @Override
            public void close() {
                // holds nothing
            }
        };
    }

    @Override
    public void init(Config.Scope config) {
        // no options
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        // nothing to register
    }

    @Override
    public void close() {
        // holds nothing
    }

    @Override
    public String getId() {
        return "crash-after-commit";
    }
}
