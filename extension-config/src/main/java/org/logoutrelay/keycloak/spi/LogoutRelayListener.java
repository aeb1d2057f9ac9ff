package org.logoutrelay.keycloak.spi;

import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.jboss.logging.Logger;
import org.keycloak.events.Event;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.RequestPath;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.containment.Containment;
import org.logoutrelay.keycloak.containment.RealmLogout;
import org.logoutrelay.keycloak.containment.Watch;
import org.logoutrelay.keycloak.directory.Directories;
import org.logoutrelay.keycloak.gate.Registrations;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.ledger.TokenIssue;
import org.logoutrelay.keycloak.login.StepUp;
import org.logoutrelay.keycloak.rotation.RotationWatch;
import org.logoutrelay.keycloak.trigger.Changes;
import org.logoutrelay.keycloak.trigger.LoginFlow;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.PrivilegedRole;
import org.logoutrelay.keycloak.trigger.SentPassword;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.UpstreamLogout;
import org.logoutrelay.keycloak.trigger.Written;
import org.logoutrelay.keycloak.workload.Workloads;

/** Sees what happens in a realm where the listener is switched on; {@link AllOrNothing} makes it count. */
final class LogoutRelayListener implements EventListenerProvider {
    private static final Logger LOG = Logger.getLogger(LogoutRelayListener.class);
    /** By the Admin API, or by SCIM (RFC 7644 §3.2), which Keycloak has as a preview. */
    private static final Pattern USER = Pattern.compile("users/([^/]+)|scim/v2/Users/([^/]+)");
    private static final Pattern CLIENT = Pattern.compile("clients/([^/]+)");
    private static final Set<EventType> PROFILE_UPDATES = Set.of(EventType.UPDATE_PROFILE, EventType.UPDATE_EMAIL);

    private final KeycloakSession session;
    private final AllOrNothing allOrNothing;
    private final Directories directories;

    LogoutRelayListener(KeycloakSession session, AllOrNothing.Committed afterCommit, Directories directories) {
        this.directories = directories;
        this.session = session;
        this.allOrNothing = AllOrNothing.of(session, afterCommit);
    }

    @Override
    public void onEvent(Event event) {
        if (event.getError() != null) {
            Watch.seeError(session, event);
        }
        RotationWatch.see(session, allOrNothing, event);
        Workloads.see(session, event);
        AuthenticationSessionModel login = session.getContext().getAuthenticationSession();
        if (event.getType() == EventType.LOGIN && event.getUserId() != null) {
            RealmModel realm = session.realms().getRealm(event.getRealmId());
            allOrNothing.run(() -> StepUp.loggedIn(session, realm, event.getUserId(), login));
            allOrNothing.run(() -> Watch.loggedIn(session, realm, event.getUserId()));
        }
        if (event.getType() == EventType.REGISTER && event.getUserId() != null) {
            allOrNothing.run(() -> registered(event));
        }
        if (TokenIssue.is(event)) {
            Written.isOfALogin(session);
            allOrNothing.run(() -> {
                RealmModel realm = session.realms().getRealm(event.getRealmId());
                return new TokenIssue(session, realm, Issuers.ofRequest(session, realm)).note(event);
            });
            if (event.getUserId() != null) {
                directories.lookAfterCommit(session, event.getUserId());
            }
            return;
        }
        if (Registrations.isOne(event.getType()) && event.getError() == null) {
            allOrNothing.run(() -> {
                Registrations.judge(session);
                return AllOrNothing.Recording.NOTHING;
            });
        }
        Optional<Trigger.Match> trigger = UpstreamLogout.of(session, event).or(() -> Trigger.of(event));
        if (trigger.isPresent() || PROFILE_UPDATES.contains(event.getType()) && event.getUserId() != null) {
            allOrNothing.run(() -> {
                RealmModel realm = session.realms().getRealm(event.getRealmId());
                LoginFlow flow = LoginFlow.of(session, realm, event).orElse(null);
                return trigger.or(() -> Changes.of(session, realm, event.getUserId()))
                        .map(match -> contain(realm, match, flow)).orElse(AllOrNothing.Recording.NOTHING);
            });
        }
    }

    /** Of somebody who registers into a directory Keycloak sets the password there, and nothing is from before it. */
    private AllOrNothing.Recording registered(Event event) {
        UserModel user = session.users().getUserById(session.realms().getRealm(event.getRealmId()), event.getUserId());
        return user == null || !user.isFederated() ? AllOrNothing.Recording.NOTHING : () -> {
            Directories.noteOwnChange(session, user.getId());
            return null;
        };
    }

    @Override
    public void onEvent(AdminEvent event, boolean includeRepresentation) {
        Workloads.see(session, event);
        Optional<Trigger.Match> trigger = Trigger.of(event);
        Matcher user = USER.matcher(String.valueOf(RequestPath.of(event.getResourcePath())));
        boolean update = event.getResourceType() == ResourceType.USER && event.getOperationType() == OperationType.UPDATE
                && user.matches();
        if (trigger.isPresent() || update || PrivilegedRole.isMapping(event) || event.getResourceType() == ResourceType.REALM
                || event.getResourceType() == ResourceType.CLIENT) {
            allOrNothing.run(() -> {
                // The realm acted on, not the administrator's.
                RealmModel realm = session.getContext().getRealm();
                if (event.getResourceType() == ResourceType.REALM && trigger.isEmpty()) {
                    return event.getOperationType() == OperationType.ACTION && "logout-all".equals(RequestPath.of(event.getResourcePath()))
                            ? RealmLogout.seen(session, realm, Issuers.of(session, realm)) : refuseMeaninglessPolicy(realm);
                }
                if (event.getResourceType() == ResourceType.CLIENT) {
                    return refuseUnusableClient(realm, event);
                }
                Optional<Trigger.Match> match = trigger.or(() -> update ? update(realm, user.group(1) == null ? user.group(2) : user.group(1))
                        : PrivilegedRole.of(session, realm, event));
                match.map(Trigger.Match::userId).ifPresent(id -> requireUser(realm, id));
                return match.map(found -> contain(realm, found, null)).orElse(AllOrNothing.Recording.NOTHING);
            });
        }
    }

    /** Keycloak has found the user by this path; where we do not, nothing would end. */
    private void requireUser(RealmModel realm, String userId) {
        if (session.users().getUserById(realm, userId) == null) {
            throw new AllOrNothing.Refusal("The change was refused: its path names the user in a way that Logout Relay cannot"
                    + " read; send it with the user's plain id");
        }
    }

    private Optional<Trigger.Match> update(RealmModel realm, String userId) {
        return SentPassword.toDirectory(session, realm, userId).or(() -> Changes.of(session, realm, userId));
    }

    private AllOrNothing.Recording contain(RealmModel realm, Trigger.Match match, LoginFlow flow) {
        String userId = match.userId() == null ? Ledger.userOf(session, realm, match.sid()) : match.userId();
        UserModel user = userId == null ? null : session.users().getUserById(realm, userId);
        if (user == null) {
            // One session that no application was ever given, or a user who is deleted in this very request.
            return AllOrNothing.Recording.NOTHING;
        }
        if (match.sid() == null && !allOrNothing.isFirst(user.getId())) {
            return AllOrNothing.Recording.NOTHING;
        }
        AllOrNothing.Recording contained = Containment.begin(session, realm, user, match, Issuers.of(session, realm), flow,
                Containment.Fate.STAYS);
        if (!user.isFederated() || match.trigger().type() != Trigger.Type.PASSWORD_CHANGED) {
            return contained;
        }
        return () -> {
            Directories.noteOwnChange(session, user.getId());
            return contained.write();
        };
    }

    private static AllOrNothing.Recording refuseMeaninglessPolicy(RealmModel realm) {
        String complaint = Policy.complaint(realm.getAttributes());
        if (complaint != null) {
            LOG.warnf("Realm %s was not saved: attribute %s", realm.getName(), complaint);
            throw new AllOrNothing.Refusal("Realm attribute " + complaint);
        }
        return AllOrNothing.Recording.NOTHING;
    }

    private AllOrNothing.Recording refuseUnusableClient(RealmModel realm, AdminEvent event) {
        Matcher path = CLIENT.matcher(String.valueOf(RequestPath.of(event.getResourcePath())));
        ClientModel client = path.matches() ? realm.getClientById(path.group(1)) : null;
        String complaint = client == null ? null : RelyingParty.complaint(client.getAttributes());
        if (complaint != null) {
            throw new AllOrNothing.Refusal("Client " + client.getClientId() + " was not saved: attribute " + complaint);
        }
        return AllOrNothing.Recording.NOTHING;
    }

    @Override
    public void close() {
        // holds nothing
    }
}
