import { useText } from '@/i18n/text';
import { Empty } from '@/ui/States';

/** What waits for one PC, with its deadlines. */
export function AgentQueue({ pcId }: { pcId: string }) {
  const { t } = useText();
  const command = `kanade describe agent ${pcId}`;
  return <Empty title={t.agent.queueEmpty} help={t.agent.queueEmptyHelp} command={command} />;
}
