package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;

import org.junit.jupiter.api.Test;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;

class TriggerTest {
    private static AdminEvent event(ResourceType resource, OperationType operation, String path) {
        AdminEvent event = new AdminEvent();
        event.setResourceType(resource);
        event.setOperationType(operation);
        event.setResourcePath(path);
        return event;
    }

    @Test
    void anAdministratorsResetIsATriggerAndNamesItsUser() {
        Trigger.Match match = Trigger.of(event(ResourceType.USER, OperationType.ACTION, "users/some-id/reset-password")).orElseThrow();
        assertEquals("admin-reset-password", match.trigger().id());
        assertEquals("some-id", match.userId());
    }

    @Test
    void whatOnlyLooksLikeOneIsNone() {
        assertTrue(Trigger.of(event(ResourceType.USER, OperationType.UPDATE, "users/x/reset-password")).isEmpty());
        assertTrue(Trigger.of(event(ResourceType.CLIENT, OperationType.ACTION, "users/x/reset-password")).isEmpty());
        assertTrue(Trigger.of(event(ResourceType.USER, OperationType.ACTION, "users/x/y/reset-password")).isEmpty());
        assertTrue(Trigger.of(event(ResourceType.USER, OperationType.ACTION, "users/x/reset-password-email")).isEmpty());
    }

    @Test
    void anEventWithoutAPathIsNone() {
        assertTrue(Trigger.of(event(ResourceType.REALM, OperationType.UPDATE, null)).isEmpty());
    }

    @Test
    void aRowOfAnotherVersionsTriggerIsSaidToBeUnknown() {
        assertThrows(IllegalStateException.class, () -> Trigger.byId("from-the-future"));
    }

    private static Event userEvent(EventType type, Map<String, String> details) {
        Event event = new Event();
        event.setType(type);
        event.setUserId("some-id");
        event.setDetails(details);
        return event;
    }

    @Test
    void aCredentialThatTheUserChangesIsThePasswordOrAnother() {
        var update = EventType.UPDATE_CREDENTIAL;
        assertEquals("user-update-password",
                Trigger.of(userEvent(update, Map.of("credential_type", "password"))).orElseThrow().trigger().id());
        assertEquals("user-credential-changed",
                Trigger.of(userEvent(update, Map.of("credential_type", "otp"))).orElseThrow().trigger().id());
        assertEquals("user-credential-changed", Trigger.of(userEvent(update, null)).orElseThrow().trigger().id());
    }

    @Test
    void theEndOfOneSessionIsAboutThatSessionAlone() {
        Trigger.Match match = Trigger.of(event(ResourceType.USER_SESSION, OperationType.DELETE, "sessions/some-sid")).orElseThrow();
        assertEquals("session-removed", match.trigger().id());
        assertEquals("some-sid", match.sid());
        assertEquals(null, match.userId());
    }

    @Test
    void movingOrNamingACredentialIsNone() {
        assertTrue(Trigger.of(event(ResourceType.USER, OperationType.ACTION, "users/x/credentials/y/moveToFirst")).isEmpty());
        assertTrue(Trigger.of(event(ResourceType.USER, OperationType.UPDATE, "users/x/credentials/y/userLabel")).isEmpty());
    }

    @Test
    void noTwoTriggersHaveTheSameName() {
        assertEquals(Trigger.ALL.size(), Trigger.ALL.stream().map(Trigger::id).distinct().count());
    }
}
