package org.logoutrelay.keycloak.spi;

import java.util.Map;
import java.util.stream.Collectors;

import org.keycloak.Config;
import org.keycloak.common.Version;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.EventListenerProviderFactory;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.models.utils.PostMigrationEvent;
import org.keycloak.provider.ServerInfoAwareProviderFactory;
import org.keycloak.timer.TimerProvider;
import org.logoutrelay.keycloak.base.BeforeCommit;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.containment.Containment.Fate;
import org.logoutrelay.keycloak.directory.Directories;
import org.logoutrelay.keycloak.gate.GateDatastoreFactory;
import org.logoutrelay.keycloak.gate.LinksGo;
import org.logoutrelay.keycloak.gate.UserGoes;
import org.logoutrelay.keycloak.gate.UsersGo;
import org.logoutrelay.keycloak.settle.AfterCommit;
import org.logoutrelay.keycloak.settle.Settings;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.Writes;

/** Event listener {@code logout-relay}: switched on realm by realm, under Realm settings, Events. */
public class LogoutRelayListenerFactory implements EventListenerProviderFactory, ServerInfoAwareProviderFactory {
    private static final long SWEEP_EVERY_MS = 5_000;

    private Settings settings;
    private volatile AfterCommit afterCommit;
    private volatile Directories directories;

    @Override
    public EventListenerProvider create(KeycloakSession session) {
        return new LogoutRelayListener(session, afterCommit, directories);
    }

    @Override
    public void init(Config.Scope config) {
        settings = Settings.of(config);
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        afterCommit = new AfterCommit(factory, settings);
        directories = new Directories(factory, afterCommit, settings.directories());
        factory.register(event -> {
            if (event instanceof PostMigrationEvent) {
                // On every node: what a crash has left behind is taken up first of all, then again and again.
                KeycloakModelUtils.runJobInTransaction(factory, session -> {
                    GateDatastoreFactory.requireInForce(session);
                    BeforeCommit.set(one -> Doors.look(one, afterCommit));
                    Writes.register(session, one -> Doors.watch(one, afterCommit));
                    TimerProvider timer = session.getProvider(TimerProvider.class);
                    timer.schedule(afterCommit::settleLeftOvers, SWEEP_EVERY_MS, "logout-relay-sweep");
                });
                afterCommit.start();
                directories.start();
            } else if (event instanceof UserModel.UserPreRemovedEvent removal) {
                // Still with all sessions; at the admin event, or at the user's own deletion, there is nothing left to see.
                Doors.userGoes(removal.getKeycloakSession(), removal.getRealm(), removal.getUser(), Fate.GOES, afterCommit);
            } else if (event instanceof UserGoes removal) {
                Doors.userGoes(removal.session(), removal.realm(), removal.user(),
                        removal.user().isFederated() ? Fate.DROPPED : Fate.GOES, afterCommit);
            } else if (event instanceof UsersGo removal) {
                Doors.usersGo(removal, afterCommit);
            } else if (event instanceof LinksGo removal) {
                Doors.linksGo(removal, afterCommit);
            }
        });
    }

    AfterCommit afterCommit() {
        return afterCommit;
    }

    /** What {@code logout-relay audit} reads in the server's list of providers: no address, since any administrator sees it. */
    @Override
    public Map<String, String> getOperationalInfo() {
        return Map.of("push", settings.pushUrl() == null ? "off" : "on", "triggers",
                Trigger.ALL.stream().map(Trigger::id).collect(Collectors.joining(",")), "logins-under-way", "ended",
                "keycloak", Version.VERSION);
    }

    @Override
    public void close() {
        if (afterCommit != null) {
            directories.close();
            afterCommit.close();
        }
    }

    @Override
    public String getId() {
        return LogoutRelay.ID;
    }
}
