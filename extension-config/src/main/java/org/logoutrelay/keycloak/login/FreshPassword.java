package org.logoutrelay.keycloak.login;

import org.keycloak.credential.CredentialInput;
import org.keycloak.credential.CredentialProviderFactory;
import org.keycloak.credential.PasswordCredentialProvider;
import org.keycloak.credential.PasswordCredentialProviderFactory;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.storage.DatastoreProvider;
import org.keycloak.storage.StoreManagers;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.gate.Gate;

/**
 * Keycloak's check of passwords, in its place: of a user with a young watermark it asks the database. A node that has not
 * heard of the reset, since the other node halted or cannot be reached, would take the old password from its cache.
 */
public class FreshPassword extends PasswordCredentialProviderFactory
        implements CredentialProviderFactory<PasswordCredentialProvider> {
    /** By then every node has looked for itself, many times over. */
    private static final long YOUNG_MS = 5L * 60 * 1000;

    @Override
    public PasswordCredentialProvider create(KeycloakSession session) {
        // Keycloak's own, with its metrics.
        PasswordCredentialProvider own = super.create(session);
        return new PasswordCredentialProvider(session, null, false, false, false, false, false) {
            @Override
            public boolean isValid(RealmModel realm, UserModel user, CredentialInput input) {
                return own.isValid(realm, fresh(session, realm, user), input);
            }
        };
    }

    /** Past the cache, and not by evicting from it: that is told to the other node, and may wait for one that is silent. */
    private static UserModel fresh(KeycloakSession session, RealmModel realm, UserModel user) {
        if (!LogoutRelay.isOn(realm) || Gate.of(session).newest(realm, user.getId()) < DbClock.now(session) - YOUNG_MS) {
            return user;
        }
        StoreManagers stores = (StoreManagers) session.getProvider(DatastoreProvider.class);
        UserModel asked = stores.userStorageManager().getUserById(realm, user.getId());
        return asked == null ? user : asked;
    }

    @Override
    public int order() {
        return 10;
    }
}
