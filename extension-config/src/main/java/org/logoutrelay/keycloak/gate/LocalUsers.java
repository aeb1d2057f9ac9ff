package org.logoutrelay.keycloak.gate;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

import org.keycloak.component.ComponentModel;
import org.keycloak.models.IdentityProviderModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserProvider;
import org.keycloak.provider.ProviderEvent;
import org.keycloak.storage.UserStorageProvider;

/**
 * Keycloak's own table of users. What takes many users or their links away does so in one statement, of which nothing else
 * tells, and a storage provider that drops a user does it here as well; so it is said just before.
 */
final class LocalUsers {
    private LocalUsers() {
    }

    static UserProvider of(KeycloakSession session, UserProvider own) {
        Set<Class<?>> interfaces = new LinkedHashSet<>();
        for (Class<?> type = own.getClass(); type != null; type = type.getSuperclass()) {
            interfaces.addAll(List.of(type.getInterfaces()));
        }
        return (UserProvider) Proxy.newProxyInstance(own.getClass().getClassLoader(), interfaces.toArray(Class<?>[]::new),
                (proxy, method, arguments) -> {
                    ProviderEvent goes = goes(session, method, arguments);
                    if (goes != null) {
                        session.getKeycloakSessionFactory().publish(goes);
                    }
                    try {
                        return method.invoke(own, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** What is about to go by this call, or null. */
    private static ProviderEvent goes(KeycloakSession session, Method method, Object[] arguments) {
        if (arguments == null || arguments.length != 2 || !(arguments[0] instanceof RealmModel realm)) {
            return null;
        }
        return switch (method.getName()) {
            case "removeUser" -> new UserGoes(session, realm, (UserModel) arguments[1]);
            case "removeImportedUsers" -> new UsersGo(session, realm, (String) arguments[1], false);
            case "preRemove" -> arguments[1] instanceof IdentityProviderModel provider
                    ? new LinksGo(session, realm, provider.getAlias())
                    : arguments[1] instanceof ComponentModel component
                            && UserStorageProvider.class.getName().equals(component.getProviderType())
                            ? new UsersGo(session, realm, component.getId(), true) : null;
            default -> null;
        };
    }
}
