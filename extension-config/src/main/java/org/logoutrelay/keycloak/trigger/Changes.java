package org.logoutrelay.keycloak.trigger;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;

import org.keycloak.credential.CredentialModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.credential.PasswordCredentialModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.gate.Gate;
import org.logoutrelay.keycloak.ledger.Ledger;

/**
 * What an update of a user has really changed. Its event does not say: a password in it is left out, and
 * {@code "enabled": false} is there whether it has been changed or not. So what this transaction is about to commit is
 * compared with what another one sees.
 *
 * @param credentials type and secret by id
 */
public record Changes(boolean enabled, String username, String email, Map<String, Secret> credentials) {

    record Secret(String type, String data) {
    }

    /** The most serious trigger among the changes. */
    public static Optional<Trigger.Match> of(KeycloakSession session, RealmModel realm, String userId) {
        Optional<Changes> after = read(session, realm, userId);
        if (after.isEmpty()) {
            return Optional.empty();
        }
        Optional<Changes> before = KeycloakModelUtils.runJobInTransactionWithResult(session.getKeycloakSessionFactory(), other -> {
            RealmModel same = other.realms().getRealm(realm.getId());
            other.getContext().setRealm(same);
            return read(other, same, userId);
        });
        return before.flatMap(was -> trigger(was, after.get()).or(() -> revived(session, realm, userId, was, after.get())))
                .map(trigger -> new Trigger.Match(trigger, userId));
    }

    /**
     * The account is enabled, and was disabled where nobody saw it, such as in the database: what it had before would come
     * back to life.
     */
    private static Optional<Trigger> revived(KeycloakSession session, RealmModel realm, String userId, Changes was, Changes is) {
        return !was.enabled && is.enabled
                && Ledger.newestLogin(session, realm.getId(), userId) > Gate.of(session).newest(realm, userId)
                ? Optional.of(Trigger.ACCOUNT_DISABLED) : Optional.empty();
    }

    static Optional<Trigger> trigger(Changes was, Changes is) {
        if (!was.passwords().equals(is.passwords())) {
            return Optional.of(Trigger.ADMIN_SET_PASSWORD);
        }
        if (was.enabled && !is.enabled) {
            return Optional.of(Trigger.ACCOUNT_DISABLED);
        }
        if (!was.credentials.equals(is.credentials)) {
            return Optional.of(Trigger.ADMIN_CREDENTIAL_CHANGED);
        }
        if (!Objects.equals(was.email, is.email)) {
            return Optional.of(Trigger.EMAIL_CHANGED);
        }
        return was.username.equals(is.username) ? Optional.empty() : Optional.of(Trigger.USERNAME_CHANGED);
    }

    private List<Map.Entry<String, Secret>> passwords() {
        return credentials.entrySet().stream().filter(e -> e.getValue().type().equals(PasswordCredentialModel.TYPE))
                .sorted(Map.Entry.comparingByKey()).toList();
    }

    private static Optional<Changes> read(KeycloakSession session, RealmModel realm, String userId) {
        UserModel user = session.users().getUserById(realm, userId);
        return Optional.ofNullable(user).map(u -> new Changes(u.isEnabled(), u.getUsername(), u.getEmail(),
                u.credentialManager().getStoredCredentialsStream().collect(
                        Collectors.toMap(CredentialModel::getId, c -> new Secret(c.getType(), String.valueOf(c.getSecretData()))))));
    }
}
