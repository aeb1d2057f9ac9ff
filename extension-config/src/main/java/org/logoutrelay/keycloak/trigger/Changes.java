package org.logoutrelay.keycloak.trigger;

import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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

    /** The most serious trigger among the changes for which the realm's policy has something done. */
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
        Policy policy = Policy.of(session, realm);
        return before.flatMap(was -> Stream.concat(triggers(was, after.get()), revived(session, realm, userId, was, after.get()))
                .filter(policy::acts).findFirst()).map(trigger -> new Trigger.Match(trigger, userId));
    }

    /**
     * The account is enabled, and was disabled where nobody saw it, such as in the database: what it had before would come
     * back to life.
     */
    private static Stream<Trigger> revived(KeycloakSession session, RealmModel realm, String userId, Changes was, Changes is) {
        return Stream.of(Trigger.ACCOUNT_DISABLED).filter(trigger -> !was.enabled && is.enabled
                && Ledger.newestLogin(session, realm.getId(), userId) > Gate.of(session).newest(realm, userId));
    }

    /** The most serious first. */
    static Stream<Trigger> triggers(Changes was, Changes is) {
        Stream.Builder<Trigger> found = Stream.builder();
        if (!was.passwords().equals(is.passwords())) {
            found.add(Trigger.ADMIN_SET_PASSWORD);
        }
        if (was.enabled && !is.enabled) {
            found.add(Trigger.ACCOUNT_DISABLED);
        }
        if (!was.others().equals(is.others())) {
            found.add(Trigger.ADMIN_CREDENTIAL_CHANGED);
        }
        if (!Objects.equals(was.email, is.email)) {
            found.add(Trigger.EMAIL_CHANGED);
        }
        if (!was.username.equals(is.username)) {
            found.add(Trigger.USERNAME_CHANGED);
        }
        return found.build();
    }

    private Map<String, Secret> passwords() {
        return ofType(PasswordCredentialModel.TYPE::equals);
    }

    private Map<String, Secret> others() {
        return ofType(type -> !type.equals(PasswordCredentialModel.TYPE));
    }

    private Map<String, Secret> ofType(Predicate<String> type) {
        return credentials.entrySet().stream().filter(e -> type.test(e.getValue().type()))
                .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
    }

    private static Optional<Changes> read(KeycloakSession session, RealmModel realm, String userId) {
        UserModel user = session.users().getUserById(realm, userId);
        return Optional.ofNullable(user).map(u -> new Changes(u.isEnabled(), u.getUsername(), u.getEmail(),
                u.credentialManager().getStoredCredentialsStream().collect(
                        Collectors.toMap(CredentialModel::getId, c -> new Secret(c.getType(), String.valueOf(c.getSecretData()))))));
    }
}
