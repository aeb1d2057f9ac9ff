package org.logoutrelay.keycloak.trigger;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;
import org.keycloak.models.ClientModel;
import org.keycloak.models.GroupModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.logoutrelay.keycloak.base.Json;
import org.logoutrelay.keycloak.base.RequestPath;

/** Whether an event gives a user a privileged role: directly, in a composite one, or by a group. */
public final class PrivilegedRole {
    private static final Pattern REALM = Pattern.compile("users/([^/]+)/role-mappings/realm");
    private static final Pattern CLIENT = Pattern.compile("users/([^/]+)/role-mappings/clients/([^/]+)");
    private static final Pattern GROUP = Pattern.compile("users/([^/]+)/groups/([^/]+)");
    private static final List<ResourceType> TYPES = List.of(ResourceType.REALM_ROLE_MAPPING,
            ResourceType.CLIENT_ROLE_MAPPING, ResourceType.GROUP_MEMBERSHIP);

    private PrivilegedRole() {
    }

    public static boolean isMapping(AdminEvent event) {
        return event.getOperationType() == OperationType.CREATE && TYPES.contains(event.getResourceType())
                && event.getResourcePath() != null;
    }

    public static Optional<Trigger.Match> of(KeycloakSession session, RealmModel realm, AdminEvent event) {
        String path = RequestPath.of(event.getResourcePath());
        Matcher inRealm = REALM.matcher(path);
        Matcher ofClient = CLIENT.matcher(path);
        Matcher byGroup = GROUP.matcher(path);
        String userId;
        Predicate<RoleModel> given;
        if (inRealm.matches()) {
            userId = inRealm.group(1);
            List<RoleModel> roles = names(event).stream().map(realm::getRole).filter(Objects::nonNull).toList();
            given = wanted -> roles.stream().anyMatch(role -> role.hasRole(wanted));
        } else if (ofClient.matches()) {
            userId = ofClient.group(1);
            ClientModel client = realm.getClientById(ofClient.group(2));
            List<RoleModel> roles = client == null ? List.of()
                    : names(event).stream().map(client::getRole).filter(Objects::nonNull).toList();
            given = wanted -> roles.stream().anyMatch(role -> role.hasRole(wanted));
        } else if (byGroup.matches()) {
            userId = byGroup.group(1);
            GroupModel group = realm.getGroupById(byGroup.group(2));
            given = wanted -> group != null && group.hasRole(wanted);
        } else {
            return Optional.empty();
        }
        return Policy.of(session, realm).privilegedRoles(realm).anyMatch(given)
                ? Optional.of(new Trigger.Match(Trigger.PRIVILEGED_ROLE_ADDED, userId)) : Optional.empty();
    }

    /** The names of the roles in the event, which lists them as the request did. */
    private static List<String> names(AdminEvent event) {
        if (event.getRepresentation() == null) {
            return List.of();
        }
        return Arrays.stream(Json.read(event.getRepresentation(), Map[].class))
                .map(role -> String.valueOf(role.get("name"))).toList();
    }
}
