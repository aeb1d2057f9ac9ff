package org.logoutrelay.keycloak.trigger;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

import org.keycloak.models.GroupModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.keycloak.models.jpa.entities.GroupEntity;
import org.keycloak.models.jpa.entities.RoleEntity;
import org.keycloak.models.jpa.entities.UserEntity;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.base.RequestPath;

/** What one of Keycloak's sessions has written of users, groups and roles, by whatever way: {@link Writes} notes it. */
public final class Written {
    private static final String ATTRIBUTE = Written.class.getName();

    /** The most serious first. */
    enum Kind {
        PASSWORD(Trigger.ADMIN_SET_PASSWORD), DISABLED(Trigger.ACCOUNT_DISABLED), ROLE(Trigger.PRIVILEGED_ROLE_ADDED),
        CREDENTIAL(Trigger.ADMIN_CREDENTIAL_CHANGED), LINK(Trigger.ADMIN_IDENTITY_PROVIDER_REMOVED),
        EMAIL(Trigger.EMAIL_CHANGED), USERNAME(Trigger.USERNAME_CHANGED);

        private final Trigger trigger;

        Kind(Trigger trigger) {
            this.trigger = trigger;
        }

        /** Keycloak writes it at a login as well, of what another one says: a broker's or a directory's profile, a code that is used up. */
        private boolean isOfALogin() {
            return this != PASSWORD && this != DISABLED;
        }
    }

    /** Who was given something. */
    enum Holder {
        USER, GROUP, ROLE
    }

    /**
     * A role was given, or what a group has.
     *
     * @param realmId null for whom the holder's own row says it
     * @param roleId or null
     * @param groupId or null
     */
    private record Given(Holder holder, String holderId, String realmId, String roleId, String groupId) {
    }

    /** A trigger of a user; with others, if the one change was of many at once. */
    public record Found(RealmModel realm, Trigger.Match match, boolean amongMany) {
    }

    private record Subject(String userId, String realmId) {
    }

    private final Map<Subject, EnumSet<Kind>> changed = new LinkedHashMap<>();
    private final List<Given> given = new ArrayList<>();
    private final Set<String> made = new HashSet<>();
    private final Set<String> gone = new HashSet<>();
    private boolean ofALogin;
    private boolean watched;

    private Written() {
    }

    static Written of(KeycloakSession session) {
        Written known = session.getAttribute(ATTRIBUTE, Written.class);
        if (known == null) {
            known = new Written();
            session.setAttribute(ATTRIBUTE, known);
        }
        return known;
    }

    /** Whether the session has touched anything that {@link #matches} could find, before its commit began. */
    public static boolean isWatched(KeycloakSession session) {
        Written known = session.getAttribute(ATTRIBUTE, Written.class);
        return known != null && known.watched;
    }

    /** @return whether it was not watched before */
    static boolean watch(KeycloakSession session) {
        Written written = of(session);
        boolean first = !written.watched;
        written.watched = true;
        return first;
    }

    /** The session is one in which a person logs in. */
    public static void isOfALogin(KeycloakSession session) {
        of(session).ofALogin = true;
    }

    void made(String id) {
        made.add(id);
    }

    void gone(String userId) {
        gone.add(userId);
    }

    void changed(String userId, String realmId, Kind kind) {
        changed.computeIfAbsent(new Subject(userId, realmId), one -> EnumSet.noneOf(Kind.class)).add(kind);
    }

    void roleGiven(Holder holder, String holderId, String realmId, String roleId) {
        given.add(new Given(holder, holderId, realmId, roleId, null));
    }

    void groupGiven(Holder holder, String holderId, String realmId, String groupId) {
        given.add(new Given(holder, holderId, realmId, null, groupId));
    }

    boolean isNothing() {
        return changed.isEmpty() && given.isEmpty();
    }

    /**
     * What it comes to, once all has been flushed.
     *
     * @throws AllOrNothing.Refusal where it concerns more users than can be contained at once
     */
    public static List<Found> matches(KeycloakSession session) {
        Written written = of(session);
        if (written.isNothing()) {
            return List.of();
        }
        Map<String, Optional<RealmModel>> realms = new LinkedHashMap<>();
        Function<String, Optional<RealmModel>> on = id -> realms.computeIfAbsent(id == null ? "" : id,
                one -> Optional.ofNullable(session.realms().getRealm(one)).filter(LogoutRelay::isOn));
        boolean login = written.ofALogin || isLoggingIn(session);
        List<Found> found = new ArrayList<>();
        for (Given one : written.given) {
            String realmId = one.realmId != null ? one.realmId : written.realmOf(session, one.holder, one.holderId);
            if (!login && !written.made.contains(one.holderId)) {
                on.apply(realmId).ifPresent(realm -> found.addAll(written.privileged(session, realm, one)));
            }
        }
        written.changed.forEach((subject, kinds) -> {
            String realmId = subject.realmId != null ? subject.realmId
                    : written.realmOf(session, Holder.USER, subject.userId);
            if (!written.made.contains(subject.userId) && !written.gone.contains(subject.userId)) {
                on.apply(realmId).ifPresent(realm -> {
                    Policy policy = Policy.of(session, realm);
                    kinds.stream().filter(kind -> !login || !kind.isOfALogin()).map(kind -> kind.trigger)
                            .filter(policy::acts).findFirst()
                            .map(trigger -> new Found(realm, new Trigger.Match(trigger, subject.userId), false)).ifPresent(found::add);
                });
            }
        });
        return found;
    }

    /** Of a request by SCIM, too, Keycloak has an authentication session, in which nobody logs in. */
    private static boolean isLoggingIn(KeycloakSession session) {
        return session.getContext().getAuthenticationSession() != null
                && RequestPath.isOfALogin(RequestPath.of(session.getContext().getUri().getPath()));
    }

    private String realmOf(KeycloakSession session, Holder holder, String id) {
        return switch (holder) {
            case USER -> Optional.ofNullable(Jpa.em(session).find(UserEntity.class, id)).map(UserEntity::getRealmId).orElse(null);
            case GROUP -> Optional.ofNullable(Jpa.em(session).find(GroupEntity.class, id)).map(GroupEntity::getRealm).orElse(null);
            case ROLE -> Optional.ofNullable(Jpa.em(session).find(RoleEntity.class, id)).map(RoleEntity::getRealmId).orElse(null);
        };
    }

    private List<Found> privileged(KeycloakSession session, RealmModel realm, Given one) {
        Policy policy = Policy.of(session, realm);
        if (!policy.acts(Trigger.PRIVILEGED_ROLE_ADDED)) {
            return List.of();
        }
        RoleModel role = one.roleId == null ? null : session.roles().getRoleById(realm, one.roleId);
        GroupModel group = one.groupId == null ? null : session.groups().getGroupById(realm, one.groupId);
        if (policy.privilegedRoles(realm).noneMatch(wanted -> role != null && role.hasRole(wanted)
                || group != null && group.hasRole(wanted))) {
            return List.of();
        }
        Stream<String> users = switch (one.holder) {
            case USER -> Stream.of(one.holderId).filter(id -> !gone.contains(id));
            case GROUP -> Holders.ofGroup(session, realm, one.holderId, policy);
            case ROLE -> Holders.ofRole(session, realm, one.holderId, policy);
        };
        return users.map(id -> new Found(realm, new Trigger.Match(Trigger.PRIVILEGED_ROLE_ADDED, id),
                one.holder != Holder.USER)).toList();
    }
}
