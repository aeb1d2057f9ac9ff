package org.logoutrelay.keycloak;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
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
}
