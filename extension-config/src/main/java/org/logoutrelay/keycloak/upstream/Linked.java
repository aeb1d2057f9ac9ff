package org.logoutrelay.keycloak.upstream;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.trigger.Policy;

/** Who of a realm is linked to an identity provider, as that names them. Nobody else can be named by it. */
final class Linked {
    private Linked() {
    }

    /** The users whom these subjects name, each once. */
    static List<UserModel> users(KeycloakSession session, RealmModel realm, List<String> aliases, List<Upstreams.Subject> subjects) {
        Policy policy = Policy.of(session, realm);
        Map<String, UserModel> found = new LinkedHashMap<>();
        for (Upstreams.Subject subject : subjects) {
            for (String alias : aliases) {
                named(session, realm, policy, alias, subject).forEach(user -> found.putIfAbsent(user.getId(), user));
            }
        }
        return new ArrayList<>(found.values());
    }

    private static List<UserModel> named(KeycloakSession session, RealmModel realm, Policy policy, String alias, Upstreams.Subject subject) {
        if (subject.sub() != null) {
            UserModel user = session.users().getUserByFederatedIdentity(realm, new FederatedIdentityModel(alias, subject.sub(), null));
            return user == null ? List.of() : List.of(user);
        }
        if (!policy.namesByEmail(alias)) {
            return List.of();
        }
        // Exactly, since a search takes parts of an address, and by all who have it, where a realm lets several have one.
        return session.users().searchForUserStream(realm, Map.of(UserModel.EMAIL, subject.email(), UserModel.EXACT, "true"))
                .filter(user -> user.isEmailVerified() && subject.email().equalsIgnoreCase(user.getEmail()))
                .filter(user -> session.users().getFederatedIdentity(realm, user, alias) != null).toList();
    }
}
