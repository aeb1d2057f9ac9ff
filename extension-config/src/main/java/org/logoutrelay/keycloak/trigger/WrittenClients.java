package org.logoutrelay.keycloak.trigger;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.common.Profile;
import org.keycloak.common.util.Time;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.jpa.entities.ClientAttributeEntity;
import org.keycloak.models.jpa.entities.ClientEntity;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.LogoutRelay;

/** What one of Keycloak's sessions has written of clients, by whatever way: {@link ClientWrites} notes it. */
public final class WrittenClients {
    private static final String ATTRIBUTE = WrittenClients.class.getName();
    /** A not-before of ours is in the second to come, by the clock of another node. */
    private static final int AHEAD_SECONDS = 60;

    /** The most serious first. */
    enum Kind {
        DISABLED(Trigger.CLIENT_DISABLED),
        AUTHENTICATION(Trigger.CLIENT_AUTHENTICATION_CHANGED), SECRET(Trigger.CLIENT_SECRET_CHANGED), KEYS(Trigger.CLIENT_KEYS_CHANGED),
        SERVICE_ACCOUNT_OFF(Trigger.CLIENT_SERVICE_ACCOUNT_OFF), ENABLED(Trigger.CLIENT_DISABLED);

        private final Trigger trigger;

        Kind(Trigger trigger) {
            this.trigger = trigger;
        }
    }

    /**
     * A trigger of a client.
     *
     * @param uuid Keycloak's own id of it
     * @param clientId what it calls itself; a client that was deleted has nothing else left
     * @param revives whether it is enabled again: what it had has been ended as it was disabled, unless nobody saw that
     */
    public record Found(RealmModel realm, Trigger trigger, String uuid, String clientId, boolean revives) {
        public boolean isOfASecret() {
            return trigger == Trigger.CLIENT_SECRET_CHANGED;
        }
    }

    /**
     * A change of a client's secrets. A rotation policy keeps the old one beside the new one for a while.
     *
     * @param anew whether the client has a new secret
     * @param retires whether one that it had does not count any more
     * @param keepsOld whether an old one counts beside the one of now
     * @param alone whether nothing else was changed of what the client proves itself by, or of whether it may
     */
    public record SecretChange(RealmModel realm, String uuid, boolean anew, boolean retires, boolean keepsOld, boolean alone) {
    }

    private record Gone(String clientId, String realmId) {
    }

    /** @param uuid of a client, or null for the realm itself */
    private record Back(String realmId, String uuid, int was) {
    }

    private final Map<String, EnumSet<Kind>> changed = new LinkedHashMap<>();
    private final Map<String, Set<String>> retired = new HashMap<>();
    private final Set<String> withNewSecret = new HashSet<>();
    private final List<Back> movedBack = new ArrayList<>();
    private final Set<String> movedOn = new HashSet<>();
    private final Map<String, String> givenAccount = new HashMap<>();
    private final Set<String> made = new HashSet<>();
    private final Map<String, Gone> gone = new LinkedHashMap<>();

    private WrittenClients() {
    }

    static WrittenClients of(KeycloakSession session) {
        WrittenClients known = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        if (known == null) {
            known = new WrittenClients();
            session.setAttribute(ATTRIBUTE, known);
        }
        return known;
    }

    void made(String uuid) {
        made.add(uuid);
    }

    void gone(String uuid, String clientId, String realmId) {
        gone.put(uuid, new Gone(clientId, realmId));
    }

    void changed(String uuid, Kind kind) {
        changed.computeIfAbsent(uuid, one -> EnumSet.noneOf(Kind.class)).add(kind);
    }

    /** @param secret what was one of the client's, and may still be */
    void retired(String uuid, String secret) {
        if (secret != null && !secret.isBlank()) {
            changed(uuid, Kind.SECRET);
            retired.computeIfAbsent(uuid, one -> new HashSet<>()).add(secret);
        }
    }

    void newSecret(String uuid, String was) {
        withNewSecret.add(uuid);
        retired(uuid, was);
    }

    void givenAccount(String uuid, String realmId) {
        givenAccount.put(uuid, realmId);
    }

    void movedBack(String realmId, String uuid, int was) {
        movedBack.add(new Back(realmId, uuid, was));
    }

    void movedOn(String realmId) {
        movedOn.add(realmId);
    }

    /** The client id of a client that this session has deleted, or null. */
    public static String deleted(KeycloakSession session, String uuid) {
        WrittenClients written = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        Gone one = written == null ? null : written.gone.get(uuid);
        return one == null ? null : one.clientId;
    }

    /**
     * What a not-before has ended stays ended. An administration that shows an older state of a client or a realm, and saves
     * it, would bring it back to life; but for one in the future, which goes back to now.
     */
    public static void keepNotBefore(KeycloakSession session) {
        WrittenClients written = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        if (written == null) {
            return;
        }
        written.movedBack.forEach(back -> realm(session, back.realmId).ifPresent(realm -> {
            int kept = notAhead(back.was);
            ClientModel client = back.uuid == null ? null : realm.getClientById(back.uuid);
            if (client != null && client.getNotBefore() < kept) {
                client.setNotBefore(kept);
            } else if (back.uuid == null && realm.getNotBefore() < kept) {
                realm.setNotBefore(kept);
            }
        }));
        written.movedOn.forEach(realmId -> realm(session, realmId).ifPresent(realm -> followRealm(session, realm)));
    }

    /** Where a client has a not-before of its own, as after an event, Keycloak before 26.7.3 goes by the lesser one. */
    private static void followRealm(KeycloakSession session, RealmModel realm) {
        int notBefore = notAhead(realm.getNotBefore());
        Jpa.em(session).createQuery("select c.id from ClientEntity c where c.realmId = :realm and c.notBefore > 0"
                + " and c.notBefore < :notBefore", String.class).setParameter("realm", realm.getId())
                .setParameter("notBefore", notBefore).getResultList()
                .forEach(uuid -> realm.getClientById(uuid).setNotBefore(notBefore));
    }

    private static int notAhead(int notBefore) {
        return notBefore > Time.currentTime() + AHEAD_SECONDS ? Time.currentTime() : notBefore;
    }

    /** The clients that have got a service account, of realms with the listener. */
    public static List<ClientModel> withNewAccount(KeycloakSession session) {
        WrittenClients written = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        return written == null ? List.of() : written.givenAccount.entrySet().stream()
                .flatMap(one -> realm(session, one.getValue()).map(realm -> realm.getClientById(one.getKey())).stream()).toList();
    }

    /** What it comes to, once all has been flushed. */
    public static List<Found> matches(KeycloakSession session) {
        WrittenClients written = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        List<Found> found = new ArrayList<>();
        if (written == null) {
            return found;
        }
        written.gone.forEach((uuid, client) -> realm(session, client.realmId)
                .map(realm -> new Found(realm, Trigger.CLIENT_DELETED, uuid, client.clientId, false)).ifPresent(found::add));
        written.changed.forEach((uuid, kinds) -> {
            ClientEntity client = written.made.contains(uuid) || written.gone.containsKey(uuid) ? null
                    : Jpa.em(session).find(ClientEntity.class, uuid);
            if (client != null) {
                realm(session, client.getRealmId()).flatMap(realm -> written.match(session, realm, client, kinds)).ifPresent(found::add);
            }
        });
        return found;
    }

    /** Once all has been flushed. */
    public static List<SecretChange> secretChanges(KeycloakSession session) {
        WrittenClients written = session.getAttribute(ATTRIBUTE, WrittenClients.class);
        return written == null ? List.of() : written.retired.entrySet().stream()
                .filter(one -> !written.made.contains(one.getKey()) && !written.gone.containsKey(one.getKey()))
                .flatMap(one -> written.secretChange(session, one.getKey(), one.getValue()).stream()).toList();
    }

    private Optional<SecretChange> secretChange(KeycloakSession session, String uuid, Set<String> secrets) {
        ClientEntity client = Jpa.em(session).find(ClientEntity.class, uuid);
        return client == null || client.isPublicClient() ? Optional.empty() : realm(session, client.getRealmId())
                .map(realm -> new SecretChange(realm, uuid, withNewSecret.contains(uuid),
                        secrets.stream().anyMatch(secret -> !isStillValid(client, secret)), hasOld(client),
                        changed.get(uuid).equals(EnumSet.of(Kind.SECRET))));
    }

    private static Optional<RealmModel> realm(KeycloakSession session, String realmId) {
        return Optional.ofNullable(session.realms().getRealm(realmId)).filter(LogoutRelay::isOn);
    }

    private Optional<Found> match(KeycloakSession session, RealmModel realm, ClientEntity client, Set<Kind> kinds) {
        Policy policy = Policy.of(session, realm);
        return kinds.stream().filter(kind -> switch (kind) {
            case SECRET -> retired.get(client.getId()).stream().anyMatch(secret -> !isStillValid(client, secret));
            default -> true;
        }).filter(kind -> policy.acts(kind.trigger)).findFirst()
                .map(kind -> new Found(realm, kind.trigger, client.getId(), client.getClientId(), kind == Kind.ENABLED));
    }

    /** A rotation policy keeps the old secret for a while: as long as it unlocks the client, ending what it unlocked is vain. */
    private static boolean isStillValid(ClientEntity client, String secret) {
        if (secret.equals(client.getSecret())) {
            return true;
        }
        return hasOld(client) && secret.equals(attribute(client, ClientSecretConstants.CLIENT_ROTATED_SECRET));
    }

    private static boolean hasOld(ClientEntity client) {
        String until = attribute(client, ClientSecretConstants.CLIENT_ROTATED_SECRET_EXPIRATION_TIME);
        String old = attribute(client, ClientSecretConstants.CLIENT_ROTATED_SECRET);
        return Profile.isFeatureEnabled(Profile.Feature.CLIENT_SECRET_ROTATION)
                && old != null && !old.isBlank() && !old.equals(client.getSecret()) && until != null && until.matches("\\d{1,12}") && Long.parseLong(until) > Time.currentTime();
    }

    private static String attribute(ClientEntity client, String name) {
        return client.getAttributes().stream().filter(one -> one.getName().equals(name)).map(ClientAttributeEntity::getValue)
                .findFirst().orElse(null);
    }
}
