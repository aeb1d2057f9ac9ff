package org.logoutrelay.keycloak.trigger;

import java.io.IOException;
import java.util.List;
import java.util.Optional;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.representations.idm.CredentialRepresentation;
import org.keycloak.representations.idm.UserRepresentation;
import org.keycloak.utils.KeycloakSessionUtil;

import jakarta.ws.rs.ext.Provider;
import jakarta.ws.rs.ext.ReaderInterceptor;
import jakarta.ws.rs.ext.ReaderInterceptorContext;

/**
 * Whether a request to update a user sends a password with it. Of a user of a directory nothing else tells: the admin event
 * leaves it out, and what changes is stored in the directory, so that {@link Changes} has nothing to compare. So it is
 * noted when Keycloak reads the request. {@code META-INF/beans.xml} has Keycloak's build find this class.
 */
@Provider
public final class SentPassword implements ReaderInterceptor {
    private static final String SENT = SentPassword.class.getName();

    @Override
    public Object aroundReadFrom(ReaderInterceptorContext context) throws IOException {
        Object body = context.proceed();
        KeycloakSession session = KeycloakSessionUtil.getKeycloakSession();
        if (session != null && body instanceof UserRepresentation user) {
            session.setAttribute(SENT, isIn(user.getCredentials()));
        }
        return body;
    }

    /** As Keycloak judges: whatever the type, a value is a password. */
    static boolean isIn(List<CredentialRepresentation> credentials) {
        return credentials != null
                && credentials.stream().anyMatch(c -> c != null && c.getValue() != null && !c.getValue().isEmpty());
    }

    /** The trigger that an administrator's update of this user is by that. A request that was not seen counts as one. */
    public static Optional<Trigger.Match> toDirectory(KeycloakSession session, RealmModel realm, String userId) {
        UserModel user = session.users().getUserById(realm, userId);
        return user != null && user.isFederated() && session.getAttributeOrDefault(SENT, true)
                && Policy.of(session, realm).acts(Trigger.ADMIN_SET_PASSWORD)
                        ? Optional.of(new Trigger.Match(Trigger.ADMIN_SET_PASSWORD, userId)) : Optional.empty();
    }
}
