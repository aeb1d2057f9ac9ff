package org.logoutrelay.keycloak.containment;

import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

import org.keycloak.models.CibaConfig;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.OAuth2DeviceConfig;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.WrittenClients;

/**
 * What an event about a client ends beyond the sessions of its service account.
 *
 * @param client null where there is nothing left of it to change, or where it is not its client that the event is about
 * @param uuid Keycloak's own id of the client, or null
 * @param clientId of the client whose account the subject is, or null
 * @param endsAllTokens whether everything that was issued to the client ends, and not its service account's alone
 */
record ClientSteps(KeycloakSession session, ClientModel client, String uuid, String clientId, Set<Policy.Step> steps, boolean endsAllTokens) {

    /** For a subject that may be a service account. */
    static ClientSteps ofAccount(KeycloakSession session, RealmModel realm, UserModel user, Trigger trigger, Set<Policy.Step> steps) {
        String uuid = user.getServiceAccountClientLink();
        ClientModel client = uuid == null ? null : realm.getClientById(uuid);
        if (client == null) {
            return new ClientSteps(session, null, uuid, null, steps, false);
        }
        return trigger.isOfClient() ? of(session, realm, client, steps)
                : new ClientSteps(session, null, uuid, client.getClientId(), steps, false);
    }

    /** Of an account that goes: Keycloak removes it before its client, so only at the end it is known that this goes too. */
    boolean isDeleted() {
        return uuid != null && WrittenClients.deleted(session, uuid) != null;
    }

    static ClientSteps ofDeleted(KeycloakSession session, String uuid, String clientId, Set<Policy.Step> steps) {
        return new ClientSteps(session, null, uuid, clientId, steps, steps.contains(Policy.Step.PEOPLE));
    }

    static ClientSteps of(KeycloakSession session, RealmModel realm, ClientModel client, Set<Policy.Step> steps) {
        return new ClientSteps(session, client, client.getId(), client.getClientId(), steps,
                steps.contains(Policy.Step.PEOPLE) || !isForPeople(realm, client));
    }

    /** Where nobody logs in, all that the client was ever issued was unlocked by what it proves itself with. */
    private static boolean isForPeople(RealmModel realm, ClientModel client) {
        return client.isStandardFlowEnabled() || client.isImplicitFlowEnabled() || client.isDirectAccessGrantsEnabled()
                || realm.getOAuth2DeviceConfig().isOAuth2DeviceAuthorizationGrantEnabled(client)
                || realm.getCibaPolicy().isOIDCCIBAGrantEnabled(client);
    }

    boolean isNothing() {
        return !endsAllTokens && !steps.contains(Policy.Step.REGISTRATION_TOKEN);
    }

    /** @return how much each step has ended, by its word */
    Map<String, Integer> run(long watermarkMs) {
        Map<String, Integer> done = new TreeMap<>();
        if (client == null) {
            return done;
        }
        if (endsAllTokens) {
            setNotBefore(client, Containment.notBefore(session, watermarkMs));
            if (steps.contains(Policy.Step.PEOPLE)) {
                done.put(Policy.Step.PEOPLE.word(), 1);
            }
        }
        if (steps.contains(Policy.Step.REGISTRATION_TOKEN) && client.getRegistrationToken() != null) {
            client.setRegistrationToken(null);
            done.put(Policy.Step.REGISTRATION_TOKEN.word(), 1);
        }
        return done;
    }

    static void setNotBefore(ClientModel client, int seconds) {
        if (client.getNotBefore() < seconds) {
            client.setNotBefore(seconds);
        }
    }
}
