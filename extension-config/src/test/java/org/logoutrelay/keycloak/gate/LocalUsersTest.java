package org.logoutrelay.keycloak.gate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.keycloak.component.ComponentModel;
import org.keycloak.models.IdentityProviderModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.ModelException;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserProvider;

class LocalUsersTest {
    private final List<Object> seen = new ArrayList<>();
    private final RealmModel realm = fake(RealmModel.class, (proxy, method, arguments) -> null);
    private final UserModel user = fake(UserModel.class, (proxy, method, arguments) -> null);
    private final KeycloakSessionFactory factory = fake(KeycloakSessionFactory.class,
            (proxy, method, arguments) -> {
                seen.add(arguments[0]);
                return null;
            });
    private final KeycloakSession session = fake(KeycloakSession.class, (proxy, method, arguments) -> factory);
    private final UserProvider users = LocalUsers.of(session, fake(UserProvider.class, (proxy, method, arguments) -> {
        seen.add(method.getName());
        return method.getReturnType() == boolean.class ? true : null;
    }));

    @Test
    void whatGoesIsSaidBeforeItIsGone() {
        IdentityProviderModel provider = new IdentityProviderModel();
        provider.setAlias("partner");
        users.removeUser(realm, user);
        users.removeImportedUsers(realm, "directory");
        users.preRemove(realm, provider);
        users.preRemove(realm, component("org.keycloak.storage.UserStorageProvider"));
        assertEquals(List.of(new UserGoes(session, realm, user), "removeUser", new UsersGo(session, realm, "directory", false),
                "removeImportedUsers", new LinksGo(session, realm, "partner"), "preRemove",
                new UsersGo(session, realm, "directory", true), "preRemove"), seen);
    }

    @Test
    void ofWhatStaysNothingIsSaid() {
        users.getUserById(realm, "user");
        users.preRemove(realm);
        users.preRemove(realm, component("org.keycloak.keys.KeyProvider"));
        assertEquals(List.of("getUserById", "preRemove", "preRemove"), seen);
    }

    @Test
    void aFailureIsKeycloaksOwn() {
        UserProvider failing = LocalUsers.of(session, fake(UserProvider.class, (proxy, method, arguments) -> {
            throw new ModelException("no such user");
        }));
        assertEquals("no such user", assertThrows(ModelException.class, () -> failing.removeUser(realm, user)).getMessage());
    }

    private static ComponentModel component(String type) {
        ComponentModel component = new ComponentModel();
        component.setId("directory");
        component.setProviderType(type);
        return component;
    }

    private static <T> T fake(Class<T> type, InvocationHandler handler) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> switch (method.getName()) {
            case "equals" -> proxy == arguments[0];
            case "hashCode" -> System.identityHashCode(proxy);
            case "toString" -> type.getSimpleName();
            default -> handler.invoke(proxy, method, arguments);
        }));
    }
}
