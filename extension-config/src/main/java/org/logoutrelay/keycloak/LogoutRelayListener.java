package org.logoutrelay.keycloak;

import org.keycloak.events.Event;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.models.KeycloakSession;

/**
 * Only notes what happened. Keycloak swallows an exception thrown here and lets the change through, so the first
 * statement of each method enlists the prepare-phase transaction, and everything that can fail happens there.
 */
final class LogoutRelayListener implements EventListenerProvider {
    private final PreparePhase prepare;

    LogoutRelayListener(KeycloakSession session, AfterCommit afterCommit) {
        this.prepare = PreparePhase.of(session, afterCommit);
    }

    @Override
    public void onEvent(Event event) {
        switch (event.getType()) {
            case LOGIN, CODE_TO_TOKEN -> {
                prepare.enlist();
                prepare.noteTokenIssue(event);
            }
            default -> {
                // not ours
            }
        }
    }

    @Override
    public void onEvent(AdminEvent event, boolean includeRepresentation) {
        Trigger.of(event).ifPresent(match -> {
            prepare.enlist();
            prepare.noteTrigger(match);
        });
    }

    @Override
    public void close() {
        // holds nothing
    }
}
