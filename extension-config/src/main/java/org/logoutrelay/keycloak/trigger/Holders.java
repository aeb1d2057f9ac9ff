package org.logoutrelay.keycloak.trigger;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.ledger.Ledger;

import jakarta.persistence.Query;

/** The users whom a change of something else concerns: a group, a role, a federation, an identity provider. */
public final class Holders {
    /** In one transaction, which takes some milliseconds for each. */
    static final int MOST = 500;
    private static final int CHUNK = 500;

    private Holders() {
    }

    /** Those in the group or below it. */
    static Stream<String> ofGroup(KeycloakSession session, RealmModel realm, String groupId, Policy policy) {
        return withSessions(session, realm, inGroups(session, below(session, Set.of(groupId))), policy, "have the group that is given a privileged role");
    }

    /** Those who have the role directly, by a group, or by another role that contains it. */
    static Stream<String> ofRole(KeycloakSession session, RealmModel realm, String roleId, Policy policy) {
        Set<String> roles = closure(Set.of(roleId), found -> ids(session, Jpa.em(session).createNativeQuery(
                "select COMPOSITE from {h-schema}COMPOSITE_ROLE where CHILD_ROLE in (:ids)", String.class), found));
        Set<String> groups = new HashSet<>(ids(session,
                Jpa.em(session).createQuery("select m.group.id from GroupRoleMappingEntity m where m.roleId in (:ids)", String.class), roles));
        Stream<String> direct = Stream.concat(
                stream(session, "select m.user.id from UserRoleMappingEntity m where m.roleId in (:ids)", roles),
                stream(session, "select m.userId from FederatedUserRoleMappingEntity m where m.roleId in (:ids)", roles));
        return withSessions(session, realm, Stream.concat(direct, inGroups(session, below(session, groups))), policy,
                "have the role that is given a privileged role");
    }

    /** Those whom this federation has imported; with it, also those whom it does not import. */
    public static List<String> ofFederation(KeycloakSession session, RealmModel realm, String federation, boolean withIt) {
        Policy policy = Policy.of(session, realm);
        if (!policy.acts(Trigger.ACCOUNT_DELETED)) {
            return List.of();
        }
        Stream<String> imported = Jpa.em(session).createQuery("select u.id from UserEntity u where u.realmId = :realm"
                + " and u.federationLink = :link", String.class).setParameter("realm", realm.getId())
                .setParameter("link", federation).getResultStream();
        Stream<String> others = withIt ? Ledger.usersLike(session, realm.getId(), "f:" + federation + ":%") : Stream.empty();
        return withSessions(session, realm, Stream.concat(imported, others), policy, "are removed").toList();
    }

    /** Those who are linked to this identity provider. */
    public static List<String> ofIdentityProvider(KeycloakSession session, RealmModel realm, String alias) {
        Policy policy = Policy.of(session, realm);
        if (!policy.acts(Trigger.ADMIN_IDENTITY_PROVIDER_REMOVED)) {
            return List.of();
        }
        Stream<String> linked = Stream.of("select l.user.id from FederatedIdentityEntity l", "select l.userId from BrokerLinkEntity l")
                .flatMap(query -> Jpa.em(session).createQuery(query + " where l.realmId = :realm and l.identityProvider = :alias", String.class)
                        .setParameter("realm", realm.getId()).setParameter("alias", alias).getResultStream());
        return withSessions(session, realm, linked, policy, "lose their link to the identity provider").toList();
    }

    private static Stream<String> inGroups(KeycloakSession session, Set<String> groups) {
        return Stream.concat(stream(session, "select m.user.id from UserGroupMembershipEntity m where m.groupId in (:ids)", groups),
                stream(session, "select m.userId from FederatedUserGroupMembershipEntity m where m.groupId in (:ids)", groups));
    }

    private static Set<String> below(KeycloakSession session, Set<String> groups) {
        return closure(groups, found -> ids(session,
                Jpa.em(session).createQuery("select g.id from GroupEntity g where g.parentId in (:ids)", String.class), found));
    }

    private interface Next {
        Collection<String> of(Collection<String> ids);
    }

    private static Set<String> closure(Set<String> first, Next next) {
        Set<String> all = new HashSet<>(first);
        Deque<Collection<String>> open = new ArrayDeque<>(List.of(first));
        while (!open.isEmpty()) {
            List<String> found = next.of(open.pop()).stream().filter(all::add).toList();
            if (!found.isEmpty()) {
                open.push(found);
            }
        }
        return all;
    }

    @SuppressWarnings("unchecked")
    private static List<String> ids(KeycloakSession session, Query query, Collection<String> ids) {
        return ids.isEmpty() ? List.of() : query.setParameter("ids", ids).getResultList();
    }

    private static Stream<String> stream(KeycloakSession session, String query, Set<String> ids) {
        return ids.isEmpty() ? Stream.empty()
                : Jpa.em(session).createQuery(query, String.class).setParameter("ids", ids).getResultStream();
    }

    /**
     * Whoever has no session needs no containment, and that is nearly everybody where there are many.
     *
     * @throws AllOrNothing.Refusal where there are more than can be contained in one transaction
     */
    private static Stream<String> withSessions(KeycloakSession session, RealmModel realm, Stream<String> users, Policy policy, String who) {
        Set<String> found = new HashSet<>();
        try (users) {
            Iterator<String> all = users.iterator();
            while (all.hasNext() && found.size() <= MOST) {
                List<String> some = new ArrayList<>();
                while (all.hasNext() && some.size() < CHUNK) {
                    some.add(all.next());
                }
                found.addAll(Ledger.withSessions(session, realm.getId(), some));
            }
        }
        if (found.size() > MOST && !policy.isShadow()) {
            throw new AllOrNothing.Refusal("More than " + MOST + " users with sessions " + who + ", and all of them would be signed"
                    + " out at once. Sign everybody out of the realm first and confirm it, which Logout Relay does at a pace that"
                    + " Keycloak and the applications can bear; or do it in smaller steps; or set the policy of this trigger to off");
        }
        return found.stream();
    }
}
